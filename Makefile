# Every target only calls a script that also runs without make.
.PHONY: demo test lint bench clean
demo: ; @./scripts/demo
test: ; @./scripts/test
lint: ; @./scripts/lint
bench: ; @./scripts/bench
clean: ; @./scripts/clean
