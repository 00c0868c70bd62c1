// The words for how jobs and machines are, each with its icon and its colour.

const JOBS = {
  queued: ["waiting", "wait", "wait"],
  running: ["running", "run", "run"],
  succeeded: ["succeeded", "check", "ok"],
  failed: ["failed", "cross", "fail"],
  cancelled: ["cancelled", "slash", "calm"],
};

const MACHINES = [
  ["lost contact", "lost", "fail"],
  ["offline", "offline", "calm"],
  ["quarantined", "shield", "fail"],
  ["paused", "pause", "wait"],
  ["draining", "drain", "wait"],
  ["drained", "drain", "calm"],
  ["holding back", "hand", "wait"],
  ["busy", "busy", "run"],
  ["online", "online", "ok"],
];

const REASONS = {
  timed_out: "timed out",
  worker_lost: "lost",
  worker_stopped: "stopped",
  not_started: "not started",
  queue_timed_out: "waited too long",
  poison: "lost too often",
  killed: "killed",
};

/** [word, icon, tone] for a job. */
export function jobState(job) {
  const [word, glyph, tone] = JOBS[job.state] ?? [job.state, "help", "calm"];
  if (job.state !== "failed") return [word, glyph, tone];
  if (REASONS[job.reason]) return [REASONS[job.reason], glyph, tone];
  if (job.signal) return [`signal ${job.signal}`, glyph, tone];
  return [job.exit_code === null || job.exit_code === undefined ? word : `exit ${job.exit_code}`, glyph, tone];
}

/** [icon, tone] for a machine's state word. */
export function machineState(word) {
  const found = MACHINES.find(([start]) => word.startsWith(start));
  return found ? [found[1], found[2]] : ["help", "calm"];
}
