"""`python -m cynthus.worker`."""

import os
import select
import signal
import sys

from cynthus.worker import handover, kernel, supervisor
from cynthus.worker.settings import Settings, SettingsInvalid, read_settings, say


def main() -> int:
    """The exit code: 0 after leaving in order, 1 after a refusal, 2 for settings that cannot work."""
    try:
        token, held, revivals = handover.receive(os.environ)
        settings = read_settings(sys.argv[1:], os.environ, token)
        os.makedirs(settings.home, mode=0o700, exist_ok=True)
    except (SettingsInvalid, OSError, ValueError) as problem:
        say(str(problem))
        return 2
    os.umask(0o022)
    kernel.hide_memory()
    keeper = supervisor.start(handover.revival(settings.token, revivals), held.holding if held else None)
    return _run(settings, keeper, held)


def _run(settings: Settings, keeper: supervisor.Supervisor, held: handover.Held | None) -> int:
    from cynthus.worker.agent import Agent  # after the fork: the supervisor stays small

    agent = Agent(settings, keeper, held)
    wake, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    agent.start()
    poller = select.poll()
    poller.register(wake, select.POLLIN)
    poller.register(agent.ended, select.POLLIN)
    while True:
        ready = dict(poller.poll())
        if agent.ended in ready:
            keeper.dismiss()
            return agent.code
        agent.leave(signal.Signals(os.read(wake, 4096)[0]).name)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)
