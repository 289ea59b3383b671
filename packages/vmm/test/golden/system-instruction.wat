;; block 1000
;;   1000: mov eax,0x5
;;   1005: cli
;;   1006: add eax,ecx
;;   1008: sti
;; block 1009
;;   1009: hlt
(set $rax (i64.load $cpu.rax))
(set $rcx (i64.load $cpu.rcx))
(set $flagResult (i64.load $cpu.flagResult))
(set $flagCarry (i64.load $cpu.flagCarry))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $10 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  ;; 1000: mov eax,0x5
  (set $rax 5)
  (set $budget (i32.sub $budget 1))
  (i64.store $cpu.rax $rax)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
  (i32.store $cpu.budget (i32.sub $budget 1))
  ;; 1005: cli
  (set $11 (i32.load $cpu.cpl))
  (if (i32.gt_u $11 (i32.and (i32.shr_u (i32.load $cpu.eflags) 12) 3))
    (then
      (set $12 (i32.load $cpu.cr4))
      (if
        (i32.eqz
          (i32.and
            (select
              (i32.ne (i32.and $12 1) 0)
              (i32.ne (i32.and $12 2) 0)
              (i32.ne (i32.and (i32.load $cpu.eflags) 131072) 0))
            (i32.eq $11 3)))
        (then
          (i32.store $cpu.faultVector 13)
          (i32.store $cpu.faultHasCode 1)
          (i32.store $cpu.faultCode 0)
          (return_call $faultAt $cpu @1005)))
      (i32.store $cpu.eflags (i32.and (i32.load $cpu.eflags) -524289)))
    (else
      (i32.store $cpu.eflags (i32.and (i32.load $cpu.eflags) -513))))
  (set $10 $budget)
  (set $rax (i64.load $cpu.rax))
  (set $rcx (i64.load $cpu.rcx))
  (set $flagResult (i64.load $cpu.flagResult))
  (set $flagCarry (i64.load $cpu.flagCarry))
  (set $tlb (i32.load $cpu.tlb))
  (if (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)
    (then
      (set $13 (i64.add $ripBase 6))
      (set $budget (i32.sub $budget 1))
      (br $B0)))
  ;; 1006: add eax,ecx
  (set $14 (i64.and $rcx 4294967295))
  (set $15 $14)
  (set $16 (i64.and $rax 4294967295))
  (set $17 (i64.add $16 $15))
  (set $rax (i64.and $17 4294967295))
  (i64.or
    (i64.and
      (i64.shl (i64.or (i64.and $16 $15) (i64.and (i64.or $16 $15) (i64.xor $17 -1))) 32)
      -4611686018427387904)
    (i64.and (i64.or (i64.and $16 $15) (i64.and (i64.or $16 $15) (i64.xor $17 -1))) 8))
  (set $flagResult (i64.extend32_s $17))
  (set $flagCarry)
  (set $budget (i32.sub $budget 2))
  (i64.store $cpu.rax $rax)
  (i64.store $cpu.flagResult $flagResult)
  (i64.store $cpu.flagCarry $flagCarry)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
  (i32.store $cpu.budget (i32.sub $budget 1))
  ;; 1008: sti
  (set $12 (i32.load $cpu.eflags))
  (set $11 (i32.load $cpu.cpl))
  (if (i32.gt_u $11 (i32.and (i32.shr_u (i32.load $cpu.eflags) 12) 3))
    (then
      (set $18 (i32.load $cpu.cr4))
      (if
        (i32.eqz
          (i32.and
            (select
              (i32.ne (i32.and $18 1) 0)
              (i32.ne (i32.and $18 2) 0)
              (i32.ne (i32.and (i32.load $cpu.eflags) 131072) 0))
            (i32.eq $11 3)))
        (then
          (i32.store $cpu.faultVector 13)
          (i32.store $cpu.faultHasCode 1)
          (i32.store $cpu.faultCode 0)
          (return_call $faultAt $cpu @1008)))
      (if (i32.ne (i32.and $12 1048576) 0)
        (then
          (i32.store $cpu.faultVector 13)
          (i32.store $cpu.faultHasCode 1)
          (i32.store $cpu.faultCode 0)
          (return_call $faultAt $cpu @1008)))
      (i32.store $cpu.eflags (i32.or $12 524288)))
    (else
      (i32.store $cpu.eflags (i32.or $12 512))
      (if (i32.eqz (i32.and $12 512))
        (then
          (if
            (i32.or
              (i32.or (i32.load $cpu.window) (i32.load $cpu.stepping))
              (i32.lt_s (i32.load $cpu.budget) 48))
            (then
              (i32.store $cpu.shadow 1)
              (i64.store $cpu.rip
                (i64.add
                  (i64.add
                    (i64.load $cpu.ripBase)
                    (i64.extend_i32_u (i32.load16_u offset=4 @1008)))
                  (i64.load8_u offset=6 @1008)))
              (return_call $resync $cpu)))))))
  (set $10 $budget)
  (set $rax (i64.load $cpu.rax))
  (set $rcx (i64.load $cpu.rcx))
  (set $flagResult (i64.load $cpu.flagResult))
  (set $flagCarry (i64.load $cpu.flagCarry))
  (set $tlb (i32.load $cpu.tlb))
  (if (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)
    (then
      (set $13 (i64.add $ripBase 9))
      (set $budget (i32.sub $budget 1))
      (br $B0)))
  (set $budget (i32.sub $budget 1))
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
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
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
(return_call $enterFrom $cpu $13 $budget)
(unreachable)
