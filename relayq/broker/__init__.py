"""The ring: tells one worker, through Celery, that there is work. What the work is, only the store knows.

A *ring* is a Celery message that says only "look at the store"; a *nudge* is a Celery control command, "pulse now".
Neither ever changes for a worker, so Celery renders them once (`bell_for`) and the store's scripts push the
strings. `relayq.tasks` connects this with the worker's agent, in the order in which Celery calls:

    app = broker.make_app(url)

    @signals.celeryd_init.connect  # before the queues are chosen
    def configure(sender, conf, **_):
        agent.name = broker.configure_worker(app, sender, conf, default=settings.worker_name)

    @signals.worker_ready.connect  # once, when rings are heard; not again after a reconnect
    def register(sender, **_):
        agent.start(broker.bell_for(app, agent.name, sender.hostname))

    @app.task(name=broker.RING_TASK, ignore_result=True)  # in a slot's thread
    def ring():
        agent.work()  # returns when nothing is left, or promptly after `let_go`

    @control_command(name=broker.PULSE_COMMAND)  # in Celery's event loop: must not block
    def pulse(state):
        agent.pulse_soon()

    @broker.connection_changed.connect  # lost, or there again; in the event loop: must not block
    def look(sender, **_):
        agent.pulse_soon()

    @app.task(name="relayq.run_command", bind=True)  # 1.x: the result comes later, by `store_result`
    def run_command(self, command, cwd=None, routing_key=None):
        agent.submit_for(self.request.id, command, cwd, on=routing_key)
        raise Ignore  # returning would store None: a 1.x message asks for its result

    @signals.worker_shutting_down.connect  # in a thread; "Cold" is a second Ctrl-C
    def stop(sender, how, **_):
        agent.let_go(end_jobs=how == "Cold")  # the process is gone after STOP_SECONDS
"""

from relayq.broker.app import OLD_QUEUE, configure_worker, make_app, worker_argv
from relayq.broker.bell import PULSE_COMMAND, RING_TASK, bell_for, ring_queue
from relayq.broker.connecting import connection_changed
from relayq.broker.manners import STOP_SECONDS
from relayq.broker.results import store_result

__all__ = [
    "OLD_QUEUE",
    "PULSE_COMMAND",
    "RING_TASK",
    "STOP_SECONDS",
    "bell_for",
    "configure_worker",
    "connection_changed",
    "make_app",
    "ring_queue",
    "store_result",
    "worker_argv",
]
