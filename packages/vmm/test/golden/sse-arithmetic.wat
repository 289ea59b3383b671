;; block 1000
;;   1000: movapd xmm0,xmm1
;;   1004: addpd xmm0,xmm2
;;   1008: pxor xmm3,xmm0
;;   100c: hlt
(set $xmm (v128.load $cpu.xmm))
(set $8 (v128.load offset=272 $cpu))
(set $9 (v128.load offset=288 $cpu))
(set $10 (v128.load offset=304 $cpu))
(set $mxcsr (i32.eq (i32.and (i32.load $cpu.mxcsr) 65504) 8096))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $11 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  (block $B1
    (if (i32.and (i32.load $cpu.fpuTraps) 8)
      (then
        (i32.store $cpu.faultVector 6)
        (i32.store $cpu.faultHasCode 0)
        (set $budget (i32.sub $budget 1))
        (set $12 @1000)
        (br $B1)))
    (if (i32.and (i32.load $cpu.fpuTraps) 16)
      (then
        (i32.store $cpu.faultVector 7)
        (i32.store $cpu.faultHasCode 0)
        (set $budget (i32.sub $budget 1))
        (set $12 @1000)
        (br $B1)))
    ;; 1000: movapd xmm0,xmm1
    (set $13 $8)
    (set $xmm $13)
    ;; 1004: addpd xmm0,xmm2
    (set $13 $9)
    (set $14 $xmm)
    (set $15 (f64x2.add $14 $13))
    (if
      (i32.and $mxcsr
        (i64x2.all_true
          (v128.andnot
            (f64x2.lt (f64x2.abs $15) (f64x2.splat (f64.const inf (;=inf;))))
            (v128.or
              (v128.and
                (f64x2.lt (f64x2.abs $14) (f64x2.splat (f64.const 0x1p-1022 (;=2.22507e-308;))))
                (f64x2.ne $14 (f64x2.splat (f64.const 0x0p+0 (;=0;)))))
              (v128.and
                (f64x2.lt (f64x2.abs $13) (f64x2.splat (f64.const 0x1p-1022 (;=2.22507e-308;))))
                (f64x2.ne $13 (f64x2.splat (f64.const 0x0p+0 (;=0;)))))))))
      (then
        (set $xmm $15))
      (else
        (v128.store $cpu.xmm $xmm)
        (if (call $sseAddPD $cpu (i32.add $cpu 256) $14 $13)
          (then
            (set $budget (i32.sub $budget 2))
            (set $12 @1004)
            (br $B0)))
        (set $xmm (v128.load $cpu.xmm))
        (set $mxcsr (i32.eq (i32.and (i32.load $cpu.mxcsr) 65504) 8096))))
    ;; 1008: pxor xmm3,xmm0
    (set $15 $xmm)
    (set $14 $10)
    (set $10 (v128.xor $14 $15))
    (set $budget (i32.sub $budget 3))
    (v128.store $cpu.xmm $xmm)
    (v128.store offset=304 $cpu $10)
    (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
    (i32.store $cpu.budget (i32.sub $budget 1))
    (if (i32.load $cpu.cpl)
      (then
        (i32.store $cpu.faultVector 13)
        (i32.store $cpu.faultHasCode 1)
        (i32.store $cpu.faultCode 0)
        (return_call $faultAt $cpu @100c)))
    ;; 100c: hlt
    (i64.store $cpu.rip
      (i64.add
        (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @100c)))
        (i64.load8_u offset=6 @100c)))
    (i32.store $cpu.exit 2)
    (return)
    (unreachable))
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
  (i32.store $cpu.budget $budget)
  (return_call $faultAt $cpu $12))
(v128.store $cpu.xmm $xmm)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
(i32.store $cpu.budget $budget)
(return_call $faultAt $cpu $12)
(unreachable)
