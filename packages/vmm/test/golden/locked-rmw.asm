# LOCK is WebAssembly's atomic operation on an aligned operand.
        lock xadd [rdi], rax
        hlt
