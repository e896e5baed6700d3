from tests.fixtures.command_line import command_line, cynthus
from tests.fixtures.fake_gateway import gateway

__all__ = ["command_line", "cynthus", "gateway"]
