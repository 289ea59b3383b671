# The unit is found usable once; ADDPD is WebAssembly's where operands and result are ordinary.
        movapd  xmm0, xmm1
        addpd   xmm0, xmm2
        pxor    xmm3, xmm0
        hlt
