;; block 1000
;;   1000: mov rax,QWORD PTR [rsi]
;;   1003: mov QWORD PTR [rdi],rax
;;   1006: add rsi,0x8
;;   100a: add rdi,0x8
;;   100e: dec ecx
;;   1010: jne 0x1000
;; block 1012
;;   1012: hlt
(set $rax (i64.load $cpu.rax))
(set $rcx (i64.load $cpu.rcx))
(set $rsi (i64.load $cpu.rsi))
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
    (block $B2
      (loop $L3
        (if (i32.or (i32.lt_s $budget 0) $13)
          (then
            (set $14 0)
            (br $B2)))
        ;; 1000: mov rax,QWORD PTR [rsi]
        (set $15 $rsi)
        (set $16 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $15 7)) 32736)))
        (if (i64.eq (i64.load $16) (i64.and (i64.add $15 7) -4096))
          (then
            (set $17 (i64.load (i32.add (i32.wrap_i64 $15) (i32.load offset=16 $16)))))
          (else
            (set $17 (call $load64 $cpu $15))
            (if (i32.ne (i32.load $cpu.faultVector) -1)
              (then
                (set $budget (i32.sub $budget 1))
                (set $14 @1000)
                (br $B1)))))
        (set $rax $17)
        ;; 1003: mov QWORD PTR [rdi],rax
        (set $17 $rax)
        (set $15 $rdi)
        (set $16 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $15 7)) 32736)))
        (if (i64.eq (i64.load offset=8 $16) (i64.and (i64.add $15 7) -4096))
          (then
            (i64.store (i32.add (i32.wrap_i64 $15) (i32.load offset=16 $16)) $17))
          (else
            (if (call $store64 $cpu $15 $17)
              (then
                (set $budget (i32.sub $budget 2))
                (set $14 @1003)
                (br $B1)))
            (set $13 (i32.or $13 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
        (if $13 (then (set $18 (i64.add $ripBase 6)) (set $budget (i32.sub $budget 2)) (br $B0)))
        ;; 1006: add rsi,0x8
        (set $17 $rsi)
        (set $15 (i64.add $17 8))
        (set $rsi $15)
        ;; 100a: add rdi,0x8
        (set $19 $rdi)
        (set $20 (i64.add $19 8))
        (set $rdi $20)
        ;; 100e: dec ecx
        (set $16
          (i32.wrap_i64
            (i64.shr_u
              (i64.and
                (i64.or (i64.and $19 8) (i64.and (i64.or $19 8) (i64.xor $20 -1)))
                -4611686018427387896)
              63)))
        (set $17 (i64.and $rcx 4294967295))
        (set $15 (i64.sub $17 1))
        (set $rcx (i64.and $15 4294967295))
        ;; 1010: jne 0x1000
        (if (i32.eqz (i64.eqz (i64.extend32_s $15)))
          (then
            (i64.xor
              (i64.or
                (i64.and
                  (i64.shl
                    (i64.or
                      (i64.and (i64.xor $17 -1) 1)
                      (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                    32)
                  -4611686018427387904)
                (i64.and
                  (i64.or
                    (i64.and (i64.xor $17 -1) 1)
                    (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                  8))
              (i64.mul
                (i64.xor
                  (i64.shr_u
                    (i64.or
                      (i64.and
                        (i64.shl
                          (i64.or
                            (i64.and (i64.xor $17 -1) 1)
                            (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                          32)
                        -4611686018427387904)
                      (i64.and
                        (i64.or
                          (i64.and (i64.xor $17 -1) 1)
                          (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                        8))
                    63)
                  (i64.extend_i32_u $16))
                -4611686018427387904))
            (set $flagResult (i64.extend32_s $15))
            (set $flagCarry)
            (set $budget (i32.sub $budget 6))
            (br $L3))
          (else
            (i64.xor
              (i64.or
                (i64.and
                  (i64.shl
                    (i64.or
                      (i64.and (i64.xor $17 -1) 1)
                      (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                    32)
                  -4611686018427387904)
                (i64.and
                  (i64.or
                    (i64.and (i64.xor $17 -1) 1)
                    (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                  8))
              (i64.mul
                (i64.xor
                  (i64.shr_u
                    (i64.or
                      (i64.and
                        (i64.shl
                          (i64.or
                            (i64.and (i64.xor $17 -1) 1)
                            (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                          32)
                        -4611686018427387904)
                      (i64.and
                        (i64.or
                          (i64.and (i64.xor $17 -1) 1)
                          (i64.and (i64.xor (i64.xor $17 1) -1) $15))
                        8))
                    63)
                  (i64.extend_i32_u $16))
                -4611686018427387904))
            (set $flagResult (i64.extend32_s $15))
            (set $flagCarry)
            (set $budget (i32.sub $budget 6))
            (i64.store $cpu.rax $rax)
            (i64.store $cpu.rcx $rcx)
            (i64.store $cpu.rsi $rsi)
            (i64.store $cpu.rdi $rdi)
            (i64.store $cpu.flagResult $flagResult)
            (i64.store $cpu.flagCarry $flagCarry)
            (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
            (i32.store $cpu.budget (i32.sub $budget 1))
            (if (i32.load $cpu.cpl)
              (then
                (i32.store $cpu.faultVector 13)
                (i32.store $cpu.faultHasCode 1)
                (i32.store $cpu.faultCode 0)
                (return_call $faultAt $cpu @1012)))
            ;; 1012: hlt
            (i64.store $cpu.rip
              (i64.add
                (i64.add
                  (i64.load $cpu.ripBase)
                  (i64.extend_i32_u (i32.load16_u offset=4 @1012)))
                (i64.load8_u offset=6 @1012)))
            (i32.store $cpu.exit 2)
            (return)))
        (unreachable))
      (unreachable))
    (i64.store $cpu.rax $rax)
    (i64.store $cpu.rcx $rcx)
    (i64.store $cpu.rsi $rsi)
    (i64.store $cpu.rdi $rdi)
    (i64.store $cpu.flagResult $flagResult)
    (i64.store $cpu.flagCarry $flagCarry)
    (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
    (i32.store $cpu.budget $budget)
    (i64.store $cpu.rip (i64.add $ripBase (i64.extend_i32_s $14)))
    (i32.store $cpu.exit 0)
    (return))
  (i64.store $cpu.rax $rax)
  (i64.store $cpu.rcx $rcx)
  (i64.store $cpu.rsi $rsi)
  (i64.store $cpu.rdi $rdi)
  (i64.store $cpu.flagResult $flagResult)
  (i64.store $cpu.flagCarry $flagCarry)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
  (i32.store $cpu.budget $budget)
  (return_call $faultAt $cpu $14))
(i64.store $cpu.rax $rax)
(i64.store $cpu.rcx $rcx)
(i64.store $cpu.rsi $rsi)
(i64.store $cpu.rdi $rdi)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
(return_call $enterFrom $cpu $18 $budget)
(unreachable)
