;; block 1000
;;   1000: test eax,eax
;;   1002: je 0x1009
;; block 1009
;;   1009: ret
;; block 1004
;;   1004: call 0x3004
(set $rax (i64.load $cpu.rax))
(set $rsp (i64.load $cpu.rsp))
(set $flagResult (i64.load $cpu.flagResult))
(set $flagCarry (i64.load $cpu.flagCarry))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $10 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  (block $B1
    ;; 1000: test eax,eax
    (set $11 (i64.and $rax 4294967295))
    (set $12 $11)
    (set $13 (i64.and $rax 4294967295))
    (set $14 (i64.and $12 $13))
    ;; 1002: je 0x1009
    (if (i64.eqz (i64.extend32_s $14))
      (then
        ;; 1009: ret
        (set $13 $rsp)
        (set $15 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $13 7)) 32736)))
        (if (i64.eq (i64.load $15) (i64.and (i64.add $13 7) -4096))
          (then
            (set $12 (i64.load (i32.add (i32.wrap_i64 $13) (i32.load offset=16 $15)))))
          (else
            (set $12 (call $load64 $cpu $13))
            (if (i32.ne (i32.load $cpu.faultVector) -1)
              (then 0
                (set $flagResult (i64.extend32_s $14))
                (set $flagCarry)
                (set $budget (i32.sub $budget 3))
                (set $16 @1009)
                (br $B1)))))
        (set $13 (i64.add $13 8))
        (set $11 $12)
        (if (i64.gt_u (i64.add (i64.shr_s $11 47) 1) 1)
          (then
            (i32.store $cpu.faultVector 13)
            (i32.store $cpu.faultHasCode 1)
            (i32.store $cpu.faultCode 0)
            0
            (set $flagResult (i64.extend32_s $14))
            (set $flagCarry)
            (set $budget (i32.sub $budget 3))
            (set $16 @1009)
            (br $B1)))
        (set $rsp $13)
        (set $17 $11)
        0
        (set $flagResult (i64.extend32_s $14))
        (set $flagCarry)
        (set $budget (i32.sub $budget 3))
        (br $B0))
      (else
        ;; 1004: call 0x3004
        (set $13 $rsp)
        (set $12 (i64.add $ripBase 9))
        (set $13 (i64.add $13 -8))
        (set $15 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $13 7)) 32736)))
        (if (i64.eq (i64.load offset=8 $15) (i64.and (i64.add $13 7) -4096))
          (then
            (i64.store (i32.add (i32.wrap_i64 $13) (i32.load offset=16 $15)) $12))
          (else
            (if (call $store64 $cpu $13 $12)
              (then 0
                (set $flagResult (i64.extend32_s $14))
                (set $flagCarry)
                (set $budget (i32.sub $budget 3))
                (set $16 @1004)
                (br $B1)))
            (set $18 (i32.or $18 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
        (set $rsp $13)
        (set $17 (i64.add $ripBase 8196))
        0
        (set $flagResult (i64.extend32_s $14))
        (set $flagCarry)
        (set $budget (i32.sub $budget 3))
        (br $B0)))
    (unreachable)
    (unreachable))
  (i64.store $cpu.flagResult $flagResult)
  (i64.store $cpu.flagCarry $flagCarry)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
  (i32.store $cpu.budget $budget)
  (return_call $faultAt $cpu $16))
(i64.store $cpu.rsp $rsp)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $10 $budget)))
(return_call $enterFrom $cpu $17 $budget)
(unreachable)
