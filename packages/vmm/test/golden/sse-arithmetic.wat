;; block 1000
;;   1000: movapd xmm0,xmm1
;;   1004: addpd xmm0,xmm2
;;   1008: pxor xmm3,xmm0
;;   100c: hlt
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $6 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  (if (i32.and (i32.load $cpu.fpuTraps) 8)
    (then
      (i32.store $cpu.faultVector 6)
      (i32.store $cpu.faultHasCode 0)
      (set $budget (i32.sub $budget 1))
      (set $7 @1000)
      (br $B0)))
  (if (i32.and (i32.load $cpu.fpuTraps) 16)
    (then
      (i32.store $cpu.faultVector 7)
      (i32.store $cpu.faultHasCode 0)
      (set $budget (i32.sub $budget 1))
      (set $7 @1000)
      (br $B0)))
  ;; 1000: movapd xmm0,xmm1
  (set $8 (v128.load (i32.add $cpu 272)))
  (v128.store (i32.add $cpu 256) $8)
  ;; 1004: addpd xmm0,xmm2
  (set $8 (v128.load (i32.add $cpu 288)))
  (set $9 (v128.load (i32.add $cpu 256)))
  (set $10 (f64x2.add $9 $8))
  (if
    (i32.and
      (i32.eq (i32.and (i32.load $cpu.mxcsr) 65504) 8096)
      (i64x2.all_true
        (v128.andnot
          (f64x2.lt (f64x2.abs $10) (f64x2.splat (f64.const inf (;=inf;))))
          (v128.or
            (v128.and
              (f64x2.lt (f64x2.abs $9) (f64x2.splat (f64.const 0x1p-1022 (;=2.22507e-308;))))
              (f64x2.ne $9 (f64x2.splat (f64.const 0x0p+0 (;=0;)))))
            (v128.and
              (f64x2.lt (f64x2.abs $8) (f64x2.splat (f64.const 0x1p-1022 (;=2.22507e-308;))))
              (f64x2.ne $8 (f64x2.splat (f64.const 0x0p+0 (;=0;)))))))))
    (then
      (v128.store (i32.add $cpu 256) $10))
    (else
      (if (call $sseAddPD $cpu (i32.add $cpu 256) $9 $8)
        (then
          (set $budget (i32.sub $budget 2))
          (set $7 @1004)
          (br $B0)))))
  ;; 1008: pxor xmm3,xmm0
  (set $10 (v128.load (i32.add $cpu 256)))
  (set $9 (v128.load (i32.add $cpu 304)))
  (v128.store (i32.add $cpu 304) (v128.xor $9 $10))
  (set $budget (i32.sub $budget 3))
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $6 $budget)))
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
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $6 $budget)))
(i32.store $cpu.budget $budget)
(return_call $faultAt $cpu $7)
(unreachable)
