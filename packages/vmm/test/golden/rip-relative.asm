# RIP is the page's base and a constant: the same code serves wherever the page is mapped.
        mov     rax, [rip + 0x100]
        lea     rbx, [rip - 0x20]
        hlt
