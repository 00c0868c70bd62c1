# Every target only calls a script that also runs without make.
.PHONY: demo test browser faults test-nodes chaos lint bench clean
demo: ; @./scripts/demo
test: ; @./scripts/test
# The dashboard in Debian's Chromium.
browser: ; @./scripts/test tests/browser
faults: ; @./scripts/test tests/faults
# The installers on systems that boot: bookworm, trixie, and bookworm for arm64. Needs root.
test-nodes: ; @./scripts/nodes
# make chaos N=1000 SEED=7 LEASE_FLOOR=15
chaos: ; @./scripts/chaos --faults $(or $(N),100) $(if $(SEED),--seed $(SEED)) $(if $(LEASE_FLOOR),--lease-floor $(LEASE_FLOOR))
lint: ; @./scripts/lint
bench: ; @./scripts/bench
clean: ; @./scripts/clean
