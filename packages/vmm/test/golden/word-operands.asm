# 16-bit operands leave the upper bits of their registers alone.
        add     ax, cx
        rol     dx, 3
        adc     word ptr [rdi], 1
        hlt
