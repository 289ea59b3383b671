;; block 1000
;;   1000: rep movs QWORD PTR es:[rdi],QWORD PTR ds:[rsi]
;;   1003: hlt
(set $rax (i64.load $cpu.rax))
(set $rcx (i64.load $cpu.rcx))
(set $rsi (i64.load $cpu.rsi))
(set $rdi (i64.load $cpu.rdi))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $10 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  (block $B1
    (block $B2
      ;; 1000: rep movs QWORD PTR es:[rdi],QWORD PTR ds:[rsi]
      (set $11
        (i64.sub 8 (i64.shr_u (i64.extend_i32_u (i32.and (i32.load $cpu.eflags) 1024)) 6)))
      (set $12 (i64.and $rcx -1))
      (set $13 (i32.load $cpu.stepping))
      (set $14 (select 1 4096 $13))
      (if (i64.ne $12 0)
        (then
          (block $B4
            (loop $L5
              (block $B6
                (if (i32.and (i64.gt_s $11 0) (i32.eqz $13))
                  (then
                    (set $15 (i64.and $rsi -1))
                    (set $16 $15)
                    (set $17 (i64.and $rdi -1))
                    (set $18 $17)
                    (set $19 (call $copyForward $cpu $16 $18 (i64.shl $12 3) 3))
                    (set $20 (i64.shr_u $19 3))
                    (if (i64.ne $20 0)
                      (then
                        (set $rsi (i64.add $rsi (i64.shl $20 3)))
                        (set $rdi (i64.add $rdi (i64.shl $20 3)))
                        (set $12 (i64.sub $12 $20))
                        (set $rcx $12)
                        (br $B6)))))
                (set $21 (i64.and $rsi -1))
                (set $22 $21)
                (set $23 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $22 7)) 32736)))
                (if (i64.eq (i64.load $23) (i64.and (i64.add $22 7) -4096))
                  (then
                    (set $24 (i64.load (i32.add (i32.wrap_i64 $22) (i32.load offset=16 $23)))))
                  (else
                    (set $24 (call $load64 $cpu $22))
                    (if (i32.ne (i32.load $cpu.faultVector) -1)
                      (then
                        (set $budget (i32.sub $budget 1))
                        (set $25 @1000)
                        (br $B2)))))
                (set $26 (i64.and $rdi -1))
                (set $27 $26)
                (set $28 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $27 7)) 32736)))
                (if (i64.eq (i64.load offset=8 $28) (i64.and (i64.add $27 7) -4096))
                  (then
                    (i64.store (i32.add (i32.wrap_i64 $27) (i32.load offset=16 $28)) $24))
                  (else
                    (if (call $store64 $cpu $27 $24)
                      (then
                        (set $budget (i32.sub $budget 1))
                        (set $25 @1000)
                        (br $B2)))
                    (set $29
                      (i32.or $29 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
                (set $rsi (i64.add $rsi $11))
                (set $rdi (i64.add $rdi $11))
                (set $12 (i64.sub $12 1))
                (set $rcx $12)
                (i32.store $cpu.mmioCount 0)
                (i32.store $cpu.mmioNext 0))
              (br_if $B4 (i64.eqz $12))
              (set $14 (i32.sub $14 1))
              (br_if $L5 $14)
              (set $25 0)
              (br $B1)))))
      (if $29 (then (set $30 (i64.add $ripBase 3)) (set $budget (i32.sub $budget 1)) (br $B0)))
      (set $budget (i32.sub $budget 1))
      (i64.store $cpu.rax $rax)
      (i64.store $cpu.rcx $rcx)
      (i64.store $cpu.rsi $rsi)
      (i64.store $cpu.rdi $rdi)
      (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
      (i32.store $cpu.budget (i32.sub $budget 1))
      (if (i32.load $cpu.cpl)
        (then
          (i32.store $cpu.faultVector 13)
          (i32.store $cpu.faultHasCode 1)
          (i32.store $cpu.faultCode 0)
          (return_call $faultAt $cpu @1003)))
      ;; 1003: hlt
      (i64.store $cpu.rip
        (i64.add
          (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @1003)))
          (i64.load8_u offset=6 @1003)))
      (i32.store $cpu.exit 2)
      (return)
      (unreachable))
    (i64.store $cpu.rax $rax)
    (i64.store $cpu.rcx $rcx)
    (i64.store $cpu.rsi $rsi)
    (i64.store $cpu.rdi $rdi)
    (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
    (i32.store $cpu.budget $budget)
    (return_call $faultAt $cpu $25))
  (i64.store $cpu.rax $rax)
  (i64.store $cpu.rcx $rcx)
  (i64.store $cpu.rsi $rsi)
  (i64.store $cpu.rdi $rdi)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
  (i32.store $cpu.budget $budget)
  (i64.store $cpu.rip (i64.add $ripBase (i64.extend_i32_s $25)))
  (i32.store $cpu.exit 0)
  (return))
(i64.store $cpu.rax $rax)
(i64.store $cpu.rcx $rcx)
(i64.store $cpu.rsi $rsi)
(i64.store $cpu.rdi $rdi)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
(return_call $enterFrom $cpu $30 $budget)
(unreachable)
