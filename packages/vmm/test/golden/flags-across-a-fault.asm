# The load may fault, and the handler then sees the flags of ADD; otherwise those of AND alone count.
        add     rax, rcx
        mov     rdx, [rdi]
        and     rax, rdx
        hlt
