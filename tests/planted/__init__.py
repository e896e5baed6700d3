"""Bugs planted one at a time into a scratch copy of the code: the suites must find every one."""
