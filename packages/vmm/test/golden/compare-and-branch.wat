;; block 1000
;;   1000: cmp rdi,rsi
;;   1003: jb 0x1008
;; block 1008
;;   1008: hlt
;; block 1005
;;   1005: inc rax
(set $rax (i64.load $cpu.rax))
(set $rsi (i64.load $cpu.rsi))
(set $rdi (i64.load $cpu.rdi))
(set $flagResult (i64.load $cpu.flagResult))
(set $flagCarry (i64.load $cpu.flagCarry))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $11 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  ;; 1000: cmp rdi,rsi
  (set $12 $rdi)
  (set $13 $12)
  (set $14 $rsi)
  (set $15 $14)
  (set $16 (i64.sub $13 $15))
  ;; 1003: jb 0x1008
  (if (i64.lt_u $13 $15)
    (then
      (i64.and
        (i64.or (i64.and (i64.xor $13 -1) $15) (i64.and (i64.xor (i64.xor $13 $15) -1) $16))
        -4611686018427387896)
      (set $flagResult $16)
      (set $flagCarry)
      (set $budget (i32.sub $budget 2))
      (br $B0))
    (else
      ;; 1005: inc rax
      (set $17
        (i32.wrap_i64
          (i64.shr_u
            (i64.and
              (i64.or
                (i64.and (i64.xor $13 -1) $15)
                (i64.and (i64.xor (i64.xor $13 $15) -1) $16))
              -4611686018427387896)
            63)))
      (set $14 $rax)
      (set $12 (i64.add $14 1))
      (set $rax $12)
      (i64.xor
        (i64.and
          (i64.or (i64.and $14 1) (i64.and (i64.or $14 1) (i64.xor $12 -1)))
          -4611686018427387896)
        (i64.mul
          (i64.xor
            (i64.shr_u
              (i64.and
                (i64.or (i64.and $14 1) (i64.and (i64.or $14 1) (i64.xor $12 -1)))
                -4611686018427387896)
              63)
            (i64.extend_i32_u $17))
          -4611686018427387904))
      (set $flagResult $12)
      (set $flagCarry)
      (set $budget (i32.sub $budget 3))
      (br $B0)))
  (unreachable))
(i64.store $cpu.rax $rax)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
(i32.store $cpu.budget (i32.sub $budget 1))
(if (i32.load $cpu.cpl)
  (then
    (i32.store $cpu.faultVector 13)
    (i32.store $cpu.faultHasCode 1)
    (i32.store $cpu.faultCode 0)
    (return_call $faultAt $cpu @1008)))
;; 1008: hlt
(i64.store $cpu.rip
  (i64.add
    (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @1008)))
    (i64.load8_u offset=6 @1008)))
(i32.store $cpu.exit 2)
(return)
(unreachable)
(unreachable)
