;; block 1000
;;   1000: lock xadd QWORD PTR [rdi],rax
;;   1005: hlt
(set $rax (i64.load $cpu.rax))
(set $rdi (i64.load $cpu.rdi))
(set $flagResult (i64.load $cpu.flagResult))
(set $flagCarry (i64.load $cpu.flagCarry))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $10 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  (block $B1
    ;; 1000: lock xadd QWORD PTR [rdi],rax
    (set $11 $rax)
    (set $12 $11)
    (set $13 $rdi)
    (set $14 0)
    (set $15 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $13 7)) 32736)))
    (if (i64.eq (i64.load offset=8 $15) (i64.and (i64.add $13 7) -4096))
      (then
        (set $16 (i32.add (i32.wrap_i64 $13) (i32.load offset=16 $15))))
      (else
        (set $16 (call $writable $cpu $13 8))
        (if (i32.eq $16 -1)
          (then
            (set $budget (i32.sub $budget 1))
            (set $17 @1000)
            (br $B1)))
        (set $14 1)
        (set $18 (i32.or $18 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
    (if (i32.eqz (i32.and $16 7))
      (then
        (set $19 (i64.load $16))
        (set $20 0)
        (loop $L5
          (set $21 (i64.add $19 $12))
          (set $20 (i64.atomic.rmw.cmpxchg $16 $19 $21))
          (if (i64.ne $20 $19)
            (then
              (set $19 $20)
              (br $L5)))))
      (else
        (set $19 (i64.load $16))
        (set $21 (i64.add $19 $12))
        (i64.store $16 $21)))
    (if $14
      (then
        (if (call $commit $cpu $13 8 $16)
          (then
            (set $budget (i32.sub $budget 1))
            (set $17 @1000)
            (br $B1)))
        (set $18 (i32.or $18 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
    (set $rax $19)
    (if $18
      (then
        (set $22 (i64.add $ripBase 5))
        (i64.and
          (i64.or (i64.and $19 $12) (i64.and (i64.or $19 $12) (i64.xor $21 -1)))
          -4611686018427387896)
        (set $flagResult $21)
        (set $flagCarry)
        (set $budget (i32.sub $budget 1))
        (br $B0)))
    (i64.and
      (i64.or (i64.and $19 $12) (i64.and (i64.or $19 $12) (i64.xor $21 -1)))
      -4611686018427387896)
    (set $flagResult $21)
    (set $flagCarry)
    (set $budget (i32.sub $budget 1))
    (i64.store $cpu.rax $rax)
    (i64.store $cpu.flagResult $flagResult)
    (i64.store $cpu.flagCarry $flagCarry)
    (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
    (i32.store $cpu.budget (i32.sub $budget 1))
    (if (i32.load $cpu.cpl)
      (then
        (i32.store $cpu.faultVector 13)
        (i32.store $cpu.faultHasCode 1)
        (i32.store $cpu.faultCode 0)
        (return_call $faultAt $cpu @1005)))
    ;; 1005: hlt
    (i64.store $cpu.rip
      (i64.add
        (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @1005)))
        (i64.load8_u offset=6 @1005)))
    (i32.store $cpu.exit 2)
    (return)
    (unreachable))
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
  (i32.store $cpu.budget $budget)
  (return_call $faultAt $cpu $17))
(i64.store $cpu.rax $rax)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
(return_call $enterFrom $cpu $22 $budget)
(unreachable)
