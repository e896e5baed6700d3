"""What the failure of an import says about an image, and the line that mends it."""

import re
import signal
from collections.abc import Sequence

from cynthus.planning.catalogue import Contested, Elsewhere, Known, is_namespace, look_up

_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
_OF_THE_DRIVER = ("libcuda.so", "libnvidia", "libnvcuvid", "libEGL_nvidia", "libGLX_nvidia")
_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLU.so.1": "libglu1-mesa",
    "libOpenGL.so.0": "libopengl0",
    "libOSMesa.so.8": "libosmesa6",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libXcursor.so.1": "libxcursor1",
    "libXft.so.2": "libxft2",
    "libXi.so.6": "libxi6",
    "libXinerama.so.1": "libxinerama1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libgfortran.so.5": "libgfortran5",
    "libquadmath.so.0": "libquadmath0",
    "libstdc++.so.6": "libstdc++6",
    "libatomic.so.1": "libatomic1",
    "libopenblas.so.0": "libopenblas0",
    "libblas.so.3": "libblas3",
    "liblapack.so.3": "liblapack3",
    "libsndfile.so.1": "libsndfile1",
    "libportaudio.so.2": "libportaudio2",
    "libasound.so.2": "libasound2",
    "libavcodec.so.59": "libavcodec59",
    "libcairo.so.2": "libcairo2",
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libgeos_c.so.1": "libgeos-c1v5",
    "libspatialindex_c.so.6": "libspatialindex6",
    "libmagic.so.1": "libmagic1",
    "libpq.so.5": "libpq5",
    "libmariadb.so.3": "libmariadb3",
    "libodbc.so.2": "libodbc2",
    "libxml2.so.2": "libxml2",
    "libxslt.so.1": "libxslt1.1",
    "libssl.so.3": "libssl3",
    "libffi.so.8": "libffi8",
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libzmq.so.5": "libzmq5",
    "libhdf5_serial.so.103": "libhdf5-103-1",
    "libnetcdf.so.19": "libnetcdf19",
    "libopenmpi.so.40": "libopenmpi3",
    "libmpi.so.40": "libopenmpi3",
    "libtbb.so.12": "libtbb12",
    "libjpeg.so.62": "libjpeg62-turbo",
    "libtiff.so.6": "libtiff6",
    "libz.so.1": "zlib1g",
}
"""Shared libraries that wheels leave to the system, and the packages of Debian 12 that have them."""
_UNLESS = "If it works where the program runs, set import_check = false."


def explained(kinds: Sequence[str], missing: str | None, lines: Sequence[str]) -> tuple[str, str] | None:
    """Why and what to do, of an exception's class names (own first); None when the image is not at fault."""
    last = lines[-1] if lines else ""
    library = _LIBRARY.search("\n".join(lines))
    if library is not None and {"ImportError", "OSError"} & set(kinds):
        return _without_library(library[1])
    if "ModuleNotFoundError" in kinds and missing:
        return f"there is no module {missing!r} in the image", _bring(missing)
    if "ImportError" in kinds:
        return last or "it fails", f"Check the versions of the packages. {_UNLESS}"
    return None


def crashed(code: int) -> tuple[str, str]:
    """Of an interpreter that ended by itself; `code` is negative for a signal."""
    how = f"exits with code {code}" if code >= 0 else f"crashes with {signal.Signals(-code).name}"
    return f"importing it {how}", f"Try another version of the package. {_UNLESS}"


def hung(seconds: float) -> tuple[str, str]:
    """Of an import without an end."""
    return f"importing it takes more than {seconds:g} s", f"Import it later, or not at all. {_UNLESS}"


def _without_library(library: str) -> tuple[str, str] | None:
    if library.startswith(_OF_THE_DRIVER):
        return None
    why = f"it needs the shared library {library}"
    package = _PACKAGES.get(library)
    if package is None:
        return why, f"Add the Debian package that has {library} to apt in cynthus.toml."
    return why, f'Add apt = ["{package}"] to cynthus.toml.'


def _bring(module: str) -> str:
    top, _, below = module.partition(".")
    if below and not is_namespace(top):  # Python names the first part that is not there
        return f"The installed version of {top} has no {module}: pin one that has it, or import it elsewhere."
    match look_up(module):
        case Known(distribution=distribution):
            return f"Add {distribution} to the project's requirements."
        case Contested(candidates=candidates):
            return f"Add the one that is meant to the project's requirements: {', '.join(candidates)}."
        case Elsewhere(fix=fix):
            return fix
    return f"Add the package that brings {top} to the project's requirements."
