"""Which commands go to which machines if nobody says so: rules that look at a command's first word only; pure.

A rule never causes a refusal. Its programs bind while a known worker has them, its labels while a worker that carries
them has been there lately; else the job goes wherever it may.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase

from relayq.model import JobSpec
from relayq.placement import Rule, lane_for

Routes = Mapping[str, tuple[str, ...]]

#: Programs that keep a machine busy for long → what their machine should have. Also the kinds of jobs.
SHIPPED: Routes = {
    "ffmpeg": ("ffmpeg", "heavy"),
    "HandBrakeCLI": ("HandBrakeCLI", "heavy"),
    "x264": ("x264", "heavy"),
    "x265": ("x265", "heavy"),
    "SvtAv1EncApp": ("SvtAv1EncApp", "heavy"),
    "av1an": ("av1an", "heavy"),
    "melt": ("melt", "heavy"),
    "blender": ("blender", "heavy"),
    "whisper": ("whisper", "heavy"),
    "whisper-cli": ("whisper-cli", "heavy"),
    "whisper-ctranslate2": ("whisper-ctranslate2", "heavy"),
    "whisperx": ("whisperx", "heavy"),
    "mlx_whisper": ("mlx_whisper", "heavy"),
    "demucs": ("demucs", "heavy"),
    "transcode": ("heavy",),
    "transcribe": ("heavy",),
}

#: Words of a route that name programs, whatever the command; the others are labels.
PROGRAMS = frozenset(
    {word for words in SHIPPED.values() for word in words} - {"heavy"} | {"ffprobe", "docker", "python"}
)

SIMPLE = re.compile(r"\s*([A-Za-z0-9_./+-]+)(?=[\s;|&<>()]|$)")  #: most commands begin so


def lane_of(spec: JobSpec, own: Routes | None = None) -> str:
    """The lane of a job, by what it asks for and by the rule for its command."""
    return lane_for(spec, rule_for(spec, own or {}))


def rule_for(spec: JobSpec, own: Routes) -> Rule | None:
    """The first rule whose pattern fits the command: of one's own, then of those that relayq ships."""
    if not (word := first_word(spec)):
        return None
    names = (word, word.rpartition("/")[2])
    words = next((w for pattern, w in own.items() if any(fnmatchcase(name, pattern) for name in names)), None)
    if words is None:
        words = SHIPPED.get(names[1])
    if not words:
        return None
    programs = tuple(each for each in words if each in PROGRAMS or each in names or re.search("[:>]", each))
    return Rule(programs, tuple(each for each in words if each not in programs))


def first_word(spec: JobSpec) -> str | None:
    """The command's first word, variables set before it apart; for other kinds the kind; None for a script."""
    if spec.kind != "command":
        return spec.kind
    if isinstance(spec.command, tuple):
        return spec.command[0] if spec.command else None
    if simple := SIMPLE.match(spec.command or ""):
        return simple[1]
    lexer = shlex.shlex((spec.command or "")[:4096], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return next((word for word in lexer if not re.match(r"[A-Za-z_]\w*=", word)), None)
    except ValueError:  # a quote that is not closed: the shell will say so
        return None
