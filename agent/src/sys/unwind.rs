//! What the standard library asks of an unwinder, answered without one.
//!
//! A release build aborts on panic and is stripped: it never unwinds, and a backtrace would be a
//! list of `<unknown>`. The standard library is linked with the code for both all the same, with an
//! unwinder, a DWARF reader and a demangler: 180 KB that end here, because the linker and LLVM see
//! that nothing can reach them any more. The message of a panic, its place included, stays.
//!
//! The signatures are those of the Itanium C++ ABI, level 1, as the crate `unwind` of the standard
//! library declares them. Debug builds and tests keep the real ones.

use std::ffi::{c_int, c_void};
use std::process::abort;

/// _URC_END_OF_STACK.
const END_OF_STACK: c_int = 5;

/// Says that there is no frame; `_trace` would be called for each one.
#[no_mangle]
extern "C" fn _Unwind_Backtrace(_trace: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Defines functions that only run while something unwinds, which nothing does.
macro_rules! never_called {
    ($($name:ident)*) => {
        $(
            #[no_mangle]
            extern "C" fn $name() -> usize {
                abort()
            }
        )*
    };
}

never_called! {
    _Unwind_DeleteException
    _Unwind_FindEnclosingFunction
    _Unwind_GetCFA
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_RaiseException
    _Unwind_Resume
    _Unwind_SetGR
    _Unwind_SetIP
}
