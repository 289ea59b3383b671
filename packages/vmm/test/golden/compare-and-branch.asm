# A comparison and its branch are one test of the operands; the flags are computed on the way out.
        cmp     rdi, rsi
        jb      1f
        inc     rax
1:      hlt
