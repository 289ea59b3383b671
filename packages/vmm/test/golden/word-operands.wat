;; block 1000
;;   1000: add ax,cx
;;   1003: rol dx,0x3
;;   1007: adc WORD PTR [rdi],0x1
;;   100b: hlt
(set $rax (i64.load $cpu.rax))
(set $rcx (i64.load $cpu.rcx))
(set $rdx (i64.load $cpu.rdx))
(set $rdi (i64.load $cpu.rdi))
(set $flagResult (i64.load $cpu.flagResult))
(set $flagCarry (i64.load $cpu.flagCarry))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $12 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  (block $B1
    ;; 1000: add ax,cx
    (set $13 (i64.and $rcx 65535))
    (set $14 $13)
    (set $15 (i64.and $rax 65535))
    (set $16 (i64.add $15 $14))
    (set $rax (i64.or (i64.and $rax -65536) (i64.and $16 65535)))
    ;; 1003: rol dx,0x3
    (set $13 (i64.and $rdx 65535))
    (set $17 3)
    (set $18 (i64.or (i64.shl $13 $17) (i64.shr_u $13 (i64.and (i64.sub 16 $17) 15))))
    (set $rdx (i64.or (i64.and $rdx -65536) (i64.and $18 65535)))
    (set $19 (i32.and (i32.wrap_i64 (i64.shr_u $18 15)) 1))
    (set $20 (i32.and (i32.wrap_i64 $18) 1))
    ;; 1007: adc WORD PTR [rdi],0x1
    (set $18 1)
    (set $17
      (i64.extend_i32_u
        (i32.wrap_i64
          (i64.shr_u
            (i64.or
              (i64.and
                (i64.or
                  (i64.and
                    (i64.shl
                      (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
                      48)
                    -4611686018427387904)
                  (i64.and
                    (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
                    8))
                4611686018427387903)
              (i64.or
                (i64.shl (i64.extend_i32_u $20) 63)
                (i64.shl
                  (i64.xor (i64.extend_i32_u $20) (i64.extend_i32_u (i32.xor $19 $20)))
                  62)))
            63))))
    (set $13 $rdi)
    (set $21 0)
    (set $22 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $13 7)) 32736)))
    (if (i64.eq (i64.load offset=8 $22) (i64.and (i64.add $13 1) -4096))
      (then
        (set $23 (i32.add (i32.wrap_i64 $13) (i32.load offset=16 $22))))
      (else
        (set $23 (call $writable $cpu $13 2))
        (if (i32.eq $23 -1)
          (then
            (i64.or
              (i64.and
                (i64.or
                  (i64.and
                    (i64.shl
                      (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
                      48)
                    -4611686018427387904)
                  (i64.and
                    (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
                    8))
                4611686018427387903)
              (i64.or
                (i64.shl (i64.extend_i32_u $20) 63)
                (i64.shl
                  (i64.xor (i64.extend_i32_u $20) (i64.extend_i32_u (i32.xor $19 $20)))
                  62)))
            (set $flagResult (i64.extend16_s $16))
            (set $flagCarry)
            (set $budget (i32.sub $budget 3))
            (set $24 @1007)
            (br $B1)))
        (set $21 1)
        (set $25 (i32.or $25 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
    (set $26 (i64.load16_u $23))
    (set $27 (i64.add (i64.add $26 $18) $17))
    (i64.store16 $23 $27)
    (if $21
      (then
        (if (call $commit $cpu $13 2 $23)
          (then
            (i64.or
              (i64.and
                (i64.or
                  (i64.and
                    (i64.shl
                      (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
                      48)
                    -4611686018427387904)
                  (i64.and
                    (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
                    8))
                4611686018427387903)
              (i64.or
                (i64.shl (i64.extend_i32_u $20) 63)
                (i64.shl
                  (i64.xor (i64.extend_i32_u $20) (i64.extend_i32_u (i32.xor $19 $20)))
                  62)))
            (set $flagResult (i64.extend16_s $16))
            (set $flagCarry)
            (set $budget (i32.sub $budget 3))
            (set $24 @1007)
            (br $B1)))
        (set $25 (i32.or $25 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
    (if $25
      (then
        (set $28 (i64.add $ripBase 11))
        (i64.or
          (i64.and
            (i64.shl (i64.or (i64.and $26 $18) (i64.and (i64.or $26 $18) (i64.xor $27 -1))) 48)
            -4611686018427387904)
          (i64.and (i64.or (i64.and $26 $18) (i64.and (i64.or $26 $18) (i64.xor $27 -1))) 8))
        (set $flagResult (i64.extend16_s $27))
        (set $flagCarry)
        (set $budget (i32.sub $budget 3))
        (br $B0)))
    (i64.or
      (i64.and
        (i64.shl (i64.or (i64.and $26 $18) (i64.and (i64.or $26 $18) (i64.xor $27 -1))) 48)
        -4611686018427387904)
      (i64.and (i64.or (i64.and $26 $18) (i64.and (i64.or $26 $18) (i64.xor $27 -1))) 8))
    (set $flagResult (i64.extend16_s $27))
    (set $flagCarry)
    (set $budget (i32.sub $budget 3))
    (i64.store $cpu.rax $rax)
    (i64.store $cpu.rdx $rdx)
    (i64.store $cpu.flagResult $flagResult)
    (i64.store $cpu.flagCarry $flagCarry)
    (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
    (i32.store $cpu.budget (i32.sub $budget 1))
    (if (i32.load $cpu.cpl)
      (then
        (i32.store $cpu.faultVector 13)
        (i32.store $cpu.faultHasCode 1)
        (i32.store $cpu.faultCode 0)
        (return_call $faultAt $cpu @100b)))
    ;; 100b: hlt
    (i64.store $cpu.rip
      (i64.add
        (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @100b)))
        (i64.load8_u offset=6 @100b)))
    (i32.store $cpu.exit 2)
    (return)
    (unreachable))
  (i64.store $cpu.rax $rax)
  (i64.store $cpu.rdx $rdx)
  (i64.store $cpu.flagResult $flagResult)
  (i64.store $cpu.flagCarry $flagCarry)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
  (i32.store $cpu.budget $budget)
  (return_call $faultAt $cpu $24))
(i64.store $cpu.rax $rax)
(i64.store $cpu.rdx $rdx)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
(return_call $enterFrom $cpu $28 $budget)
(unreachable)
