"""What a node's root folder is laid over: a base, this computer's settings, and what only this node has."""

from __future__ import annotations

from pathlib import Path

from .archives import archives
from .bases import Arch, Suite, base, native
from .commands import call
from .hub import RESOLVER
from .layers import Layers

#: Services that read credentials, which under qemu-user they cannot.
_NO_CREDENTIALS = (
    "systemd-sysusers", "systemd-tmpfiles-setup-dev", "systemd-tmpfiles-setup-dev-early", "systemd-tmpfiles-setup",
    "systemd-tmpfiles-clean", "systemd-sysctl", "systemd-journald",
)  # fmt: skip


class Ground:
    """Makes layers in a folder; those that nodes may share are made once. Not for two threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def layers(self, name: str, suite: Suite, arch: Arch) -> list[Path]:
        """For a node of this name, the uppermost first."""
        return [self._own(name, arch), self._settings(suite, arch), base(suite, arch)]

    def _settings(self, suite: Suite, arch: Arch) -> Path:
        """How this computer reaches archives: in a layer of its own, for none of it to count as a change."""
        folder = self._folder / f"{suite}-{arch}"
        if not folder.exists():
            layers = Layers(folder, [base(suite, arch)])
            try:
                archives().write(layers.root, suite)
            finally:
                layers.close()
        return folder / "upper"

    def _own(self, name: str, arch: Arch) -> Path:
        root = self._folder / f"of-{name}"
        files = {
            "etc/hostname": f"{name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost ip6-localhost ip6-loopback\n",
            "etc/resolv.conf": f"nameserver {RESOLVER}\n",
            "etc/machine-id": "",  # the first boot makes one
        }
        if arch != native():
            for service in _NO_CREDENTIALS:
                files[f"etc/systemd/system/{service}.service.d/emulated.conf"] = (
                    "[Service]\nLoadCredential=\nSetCredential=\nImportCredential=\n"
                )
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        # Folders of a layer hide those below: they must not be as closed as our umask may make them.
        call("chmod", "-R", "u=rwX,go=rX", root)
        return root
