"""Walks a table of processes downwards."""


def below(roots: list[int], processes: dict[int, tuple[int, int]]) -> dict[int, int]:
    """pid -> process group of all descendants of `roots`, from pid -> (parent, process group)."""
    by_parent: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        by_parent.setdefault(parent, []).append(pid)
    found: dict[int, int] = {}
    seen = set(roots)
    queue = list(roots)
    while queue:
        for pid in by_parent.get(queue.pop(), ()):
            if pid not in seen:
                seen.add(pid)
                found[pid] = processes[pid][1]
                queue.append(pid)
    return found
