# CALL pushes and leaves for its target; RET leaves for what it pops.
        test    eax, eax
        jz      1f
        call    . + 0x2000
1:      ret
