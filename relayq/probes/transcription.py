"""What turns speech into text: the engines that are here, and the models they have on this disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from relayq.media import engines
from relayq.media.engines import whisper_cpp
from relayq.model import Capability
from relayq.probes.look import Look


def probe(look: Look) -> Iterator[Capability]:
    """Each engine with its version, `ENGINE:MODEL` for each of its models, and `transcribe` if there is any engine."""
    for engine in engines_found():
        yield engine
        for model in models(engine.name, look.env):
            yield Capability(name=f"{engine.name}:{model}")


def engines_found() -> tuple[Capability, ...]:
    """Told without loading them: some take seconds."""
    return tuple(Capability(name=name, version=_version(name)) for name in engines.found())


def models(engine: str, env: Mapping[str, str]) -> list[str]:
    """The models that an engine finds on this disk, by the names it is asked for them."""
    cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    match engine:
        case "whisper.cpp":
            return _stems(whisper_cpp.folders(), "ggml-", ".bin")
        case "openai-whisper":
            return _stems([cache / "whisper"], "", ".pt")
        case "faster-whisper":
            return _stems([_hub(env, cache)], "models--Systran--faster-whisper-", "")
        case "mlx-whisper":
            names = _stems([_hub(env, cache)], "models--mlx-community--whisper-", "")
            return [name.removesuffix("-mlx") for name in names]
        case _:
            return []


def _hub(env: Mapping[str, str], cache: Path) -> Path:
    """Where Hugging Face's library keeps what it has fetched."""
    if given := env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE"):
        return Path(given)
    return Path(env.get("HF_HOME") or cache / "huggingface") / "hub"


def _stems(folders: list[Path], prefix: str, suffix: str) -> list[str]:
    names = []
    for folder in folders:
        try:
            names += [entry.name for entry in folder.iterdir()]
        except OSError:
            continue
    fitting = {
        name[len(prefix) : len(name) - len(suffix)]
        for name in names
        if name.startswith(prefix) and name.endswith(suffix)
    }
    return sorted(name for name in fitting if name)


def _version(engine: str) -> str | None:
    try:
        return version(engine)
    except PackageNotFoundError:
        return None
