"""Ask for memory before it is needed: a kernel that jumps through long columns would else wait for it at every jump."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

READ, KEPT, DATA = 0, 3, 1  # what llvm.prefetch calls them


def _prefetch(typing: Any, array: Any, row: Any) -> Any:
    """Hint that ``array[row]`` will be read soon; any row is allowed, nothing is read or changed.

    Source: LLVM Language Reference, ``llvm.prefetch``.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointed = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.bitcast(builder.gep(pointed.data, [args[1]]), cgutils.voidptr_t)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(hint, [address, word(READ), word(KEPT), word(DATA)])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


def _nothing(array: Any, row: Any) -> None:
    """Kernels that run as plain Python have no such hint."""


prefetch: Any = _nothing if config.DISABLE_JIT else intrinsic(_prefetch)
