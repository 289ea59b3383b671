;; block 1000
;;   1000: add rax,rcx
;;   1003: mov rdx,QWORD PTR [rdi]
;;   1006: and rax,rdx
;;   1009: hlt
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
  ;; 1000: add rax,rcx
  (set $13 $rcx)
  (set $14 $13)
  (set $15 $rax)
  (set $16 (i64.add $15 $14))
  (set $rax $16)
  ;; 1003: mov rdx,QWORD PTR [rdi]
  (set $13 $rdi)
  (set $17 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $13 7)) 32736)))
  (if (i64.eq (i64.load $17) (i64.and (i64.add $13 7) -4096))
    (then
      (set $18 (i64.load (i32.add (i32.wrap_i64 $13) (i32.load offset=16 $17)))))
    (else
      (set $18 (call $load64 $cpu $13))
      (if (i32.ne (i32.load $cpu.faultVector) -1)
        (then
          (i64.and
            (i64.or (i64.and $15 $14) (i64.and (i64.or $15 $14) (i64.xor $16 -1)))
            -4611686018427387896)
          (set $flagResult $16)
          (set $flagCarry)
          (set $budget (i32.sub $budget 2))
          (set $19 @1003)
          (br $B0)))))
  (set $rdx $18)
  ;; 1006: and rax,rdx
  (set $18 $rdx)
  (set $13 $18)
  (set $20 $rax)
  (set $21 (i64.and $20 $13))
  (set $rax $21)
  0
  (set $flagResult $21)
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
      (return_call $faultAt $cpu @1009)))
  ;; 1009: hlt
  (i64.store $cpu.rip
    (i64.add
      (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @1009)))
      (i64.load8_u offset=6 @1009)))
  (i32.store $cpu.exit 2)
  (return)
  (unreachable))
(i64.store $cpu.rax $rax)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $12 $budget)))
(i32.store $cpu.budget $budget)
(return_call $faultAt $cpu $19)
(unreachable)
