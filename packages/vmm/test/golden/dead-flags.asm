# Only the last operation's flags are ever made: nobody reads those before.
        add     rax, rcx
        sub     rax, rdx
        xor     rax, rbx
        hlt
