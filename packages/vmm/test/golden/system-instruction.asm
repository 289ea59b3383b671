# CLI and STI work on the state: locals are written back before, and taken up again behind.
        mov     eax, 5
        cli
        add     eax, ecx
        sti
        hlt
