# A loop is WebAssembly's, registers stay in locals, the budget is looked at once a round.
1:      mov     rax, [rsi]
        mov     [rdi], rax
        add     rsi, 8
        add     rdi, 8
        dec     ecx
        jnz     1b
        hlt
