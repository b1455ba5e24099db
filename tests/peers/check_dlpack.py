"""Tensors shared with NumPy and PyTorch through DLPack, in both directions: memory, values, types and lifetimes.

usage: check_dlpack.py BRIDGE   (the shared library of tests/dlpack/bridge.cpp)

Exit code 77 if neither of the two is installed.
"""
import ctypes
import gc
import sys
import weakref

VERSIONED, PLAIN = b"dltensor_versioned", b"dltensor"
USED = {VERSIONED: b"used_dltensor_versioned", PLAIN: b"used_dltensor"}

api = ctypes.pythonapi
for name, result, arguments in [
    ("PyCapsule_New", ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]),
    ("PyCapsule_GetPointer", ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]),
    ("PyCapsule_IsValid", ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]),
    ("PyCapsule_SetName", ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]),
]:
    getattr(api, name).restype = result
    getattr(api, name).argtypes = arguments

bridge = ctypes.PyDLL(sys.argv[1])  # with the interpreter's lock: deleters of NumPy and PyTorch need it
bridge.bridge_error.restype = ctypes.c_char_p
for name in ["take", "take_unversioned", "give", "give_unversioned", "fill", "drop"]:
    function = getattr(bridge, "bridge_" + name)
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p]
bridge.bridge_fill.argtypes = [ctypes.c_void_p, ctypes.c_double]


class FerTensor:
    """A tensor of fer that NumPy and PyTorch can import."""

    def __init__(self, array, version=None):
        """A tensor on an array's memory, through DLPack's structure of `version` (None: the one before 1.0)."""
        capsule = array.__dlpack__(max_version=version) if version else array.__dlpack__()
        kind = VERSIONED if api.PyCapsule_IsValid(capsule, VERSIONED) else PLAIN
        pointer = api.PyCapsule_GetPointer(capsule, kind)
        take = bridge.bridge_take if kind == VERSIONED else bridge.bridge_take_unversioned
        self.kind = kind
        self.handle = take(pointer)
        if not self.handle:
            raise ValueError(bridge.bridge_error().decode())
        api.PyCapsule_SetName(capsule, USED[kind])  # fer has taken it over

    def fill(self, value):
        if not bridge.bridge_fill(self.handle, value):
            raise ValueError(bridge.bridge_error().decode())

    def __del__(self):
        if getattr(self, "handle", None):
            bridge.bridge_drop(self.handle)

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        versioned = max_version is not None and max_version[0] >= 1
        give = bridge.bridge_give if versioned else bridge.bridge_give_unversioned
        pointer = give(self.handle)
        if not pointer:
            raise BufferError(bridge.bridge_error().decode())
        return api.PyCapsule_New(pointer, VERSIONED if versioned else PLAIN, None)


def check(condition, what):
    if not condition:
        sys.exit(f"check_dlpack: {what}")


def refused(make, message):
    try:
        make()
    except (ValueError, BufferError) as error:
        check(str(error) == message, f"expected '{message}', got '{error}'")
    else:
        sys.exit(f"check_dlpack: nothing was refused; expected '{message}'")


def goes_round(library, array, address, equal, back):
    """array -> fer -> array: they share memory, which lives as long as the last of them."""
    for version in [(1, 0), None]:
        try:
            held = FerTensor(array, version)
        except TypeError:  # the library does not know versions
            continue
        returned = back(held)
        check(address(returned) == address(array), f"{library}: the memory was copied")
        check(equal(returned, array), f"{library}: other values came back")
        held.fill(3)
        check((array == 3).all() and (returned == 3).all(), f"{library}: what fer wrote is not seen")
        del held
        gc.collect()
        returned[0] = 4
        check(array.reshape(-1)[0] == 4, f"{library}: the memory did not outlive fer's tensor")


def check_numpy(np):
    for dtype in [np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8]:
        array = np.arange(12, dtype=dtype).reshape(3, 4)
        goes_round(f"NumPy {array.dtype}", array, lambda a: a.ctypes.data, np.array_equal, np.from_dlpack)
    row_view = np.arange(12, dtype=np.float32).reshape(3, 4)[1:]
    goes_round("a view of NumPy", row_view, lambda a: a.ctypes.data, np.array_equal, np.from_dlpack)

    class Watched(np.ndarray):  # plain arrays cannot be watched
        pass

    array = np.arange(4, dtype=np.float32).view(Watched)
    alive = weakref.ref(array)
    held = FerTensor(array)
    del array
    gc.collect()
    check(alive() is not None, "NumPy: the array ended while fer held it")
    del held
    gc.collect()
    check(alive() is None, "NumPy: the array was not given back")

    strided = np.arange(6, dtype=np.float32).reshape(2, 3).T
    refused(lambda: FerTensor(strided), "from_dlpack: a tensor of shape (3, 2) with strides (1, 3) is not in row-major "
            "order; copy it first (numpy.ascontiguousarray, contiguous() of PyTorch)")
    refused(lambda: FerTensor(np.zeros(2, np.int16)),
            "from_dlpack: elements of int16; fer has float32, float64, float16, bfloat16, int64, int32 and uint8")
    fixed = np.arange(4, dtype=np.float32)
    fixed.flags.writeable = False
    try:
        held = FerTensor(fixed, (1, 0))
    except (TypeError, BufferError):
        print("NumPy: this version cannot share read-only memory")
    else:
        refused(lambda: held.fill(1), "a tensor of shape (4) views constant memory and cannot be written to; clone() it first")
        check(not np.from_dlpack(held).flags.writeable, "NumPy: read-only memory became writable")
    print(f"NumPy {np.__version__}: shared in both directions")


def check_torch(torch):
    for dtype in [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8]:
        tensor = torch.arange(12).to(dtype).reshape(3, 4)
        goes_round(f"PyTorch {dtype}", tensor, lambda t: t.data_ptr(), torch.equal, torch.from_dlpack)
    refused(lambda: FerTensor(torch.zeros(2, 3).t()), "from_dlpack: a tensor of shape (3, 2) with strides (1, 3) is not in "
            "row-major order; copy it first (numpy.ascontiguousarray, contiguous() of PyTorch)")
    refused(lambda: FerTensor(torch.zeros(2, dtype=torch.complex64)),
            "from_dlpack: elements of a type of code 5 and 64 bits; fer has float32, float64, float16, bfloat16, int64, "
            "int32 and uint8")
    print(f"PyTorch {torch.__version__}: shared in both directions")


def main():
    checked = False
    for name, run in [("numpy", check_numpy), ("torch", check_torch)]:
        try:
            library = __import__(name)
        except ImportError:
            print(f"skipped: {name} is not installed")
            continue
        run(library)
        checked = True
    sys.exit(0 if checked else 77)


main()
