"""Which modules come with which Python."""

import sys

LEFT_IN_12 = "asynchat asyncore distutils imp smtpd"
LEFT_IN_13 = (
    "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes"
    " sndhdr spwd sunau telnetlib uu xdrlib"
)
LEFT = {**dict.fromkeys(LEFT_IN_12.split(), 12), **dict.fromkeys(LEFT_IN_13.split(), 13)}
CAME = {"annotationlib": 14, "compression": 14, "graphlib": 9, "tomllib": 11, "zoneinfo": 9}
ALWAYS = {"__future__", "__main__", "_typeshed"}


def in_stdlib(top: str, python: tuple[int, int]) -> bool:
    """Whether `import top` needs no package on this Python."""
    if top in LEFT:
        return python[1] < LEFT[top]
    if top in CAME:
        return python[1] >= CAME[top]
    return top in sys.stdlib_module_names or top in ALWAYS
