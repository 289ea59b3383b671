# AL, AH and AX are parts of the local of RAX; a write of EAX clears the upper half.
        mov     al, cl
        mov     ah, dl
        mov     bx, ax
        mov     eax, esi
        hlt
