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
(set $11 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(set $epoch (i32.load $cpu.epoch))
(block $B0
  (block $B1
    (block $B2
      (block $B3
        (block $B4
          (block $B5
            ;; 1000: test eax,eax
            (set $12 (i64.and $rax 4294967295))
            (set $13 $12)
            (set $14 (i64.and $rax 4294967295))
            (set $15 (i64.and $13 $14))
            ;; 1002: je 0x1009
            (if (i64.eqz (i64.extend32_s $15))
              (then 0
                (set $flagResult (i64.extend32_s $15))
                (set $flagCarry)
                (set $budget (i32.sub $budget 2))
                (br $B5))
              (else
                ;; 1004: call 0x3004
                (set $14 $rsp)
                (set $13 (i64.add $ripBase 9))
                (set $14 (i64.add $14 -8))
                (set $16 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $14 7)) 32736)))
                (if (i64.eq (i64.load offset=8 $16) (i64.and (i64.add $14 7) -4096))
                  (then
                    (i64.store (i32.add (i32.wrap_i64 $14) (i32.load offset=16 $16)) $13))
                  (else
                    (if (call $store64 $cpu $14 $13)
                      (then 0
                        (set $flagResult (i64.extend32_s $15))
                        (set $flagCarry)
                        (set $budget (i32.sub $budget 3))
                        (set $17 @1004)
                        (br $B4)))
                    (set $18
                      (i32.or $18 (i32.ne (i32.load $cpu.codeGeneration) $codeGeneration)))))
                (set $rsp $14)
                (set $19 (i32.load $cpu.depth))
                (if (i32.ge_u $19 64)
                  (then
                    (set $20 (i64.add $ripBase 8196))
                    0
                    (set $flagResult (i64.extend32_s $15))
                    (set $flagCarry)
                    (set $budget (i32.sub $budget 3))
                    (br $B3)))
                0
                (set $flagResult (i64.extend32_s $15))
                (set $flagCarry)
                (set $budget (i32.sub $budget 3))
                (i64.store $cpu.rsp $rsp)
                (i64.store $cpu.flagResult $flagResult)
                (i64.store $cpu.flagCarry $flagCarry)
                (i32.store $cpu.compiled
                  (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
                (set $12 (i64.load $cpu.expected))
                (i64.store $cpu.expected (i64.add $ripBase 9))
                (i32.store $cpu.depth (i32.add $19 1))
                (call $enterFrom $cpu (i64.add $ripBase 8196) $budget)
                (if (i64.ne (i64.load $cpu.expected) -9223372036854775807)
                  (then
                    (return)))
                (i64.store $cpu.expected $12)
                (i32.store $cpu.depth $19)
                (i32.store $cpu.codePage 2058878976)
                (i64.store $cpu.ripBase $ripBase)
                (set $budget (i32.load $cpu.budget))
                (set $11 $budget)
                (set $rax (i64.load $cpu.rax))
                (set $rsp (i64.load $cpu.rsp))
                (set $flagResult (i64.load $cpu.flagResult))
                (set $flagCarry (i64.load $cpu.flagCarry))
                (set $tlb (i32.load $cpu.tlb))
                (if (i32.ne (i32.load $cpu.epoch) $epoch)
                  (then
                    (set $20 (i64.add $ripBase 9))
                    (br $B2)))
                (br $B5)))
            (unreachable))
          ;; 1009: ret
          (set $15 $rsp)
          (set $19 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $15 7)) 32736)))
          (if (i64.eq (i64.load $19) (i64.and (i64.add $15 7) -4096))
            (then
              (set $14 (i64.load (i32.add (i32.wrap_i64 $15) (i32.load offset=16 $19)))))
            (else
              (set $14 (call $load64 $cpu $15))
              (if (i32.ne (i32.load $cpu.faultVector) -1)
                (then
                  (set $budget (i32.sub $budget 1))
                  (set $17 @1009)
                  (br $B1)))))
          (set $15 (i64.add $15 8))
          (set $13 $14)
          (if (i64.gt_u (i64.add (i64.shr_s $13 47) 1) 1)
            (then
              (i32.store $cpu.faultVector 13)
              (i32.store $cpu.faultHasCode 1)
              (i32.store $cpu.faultCode 0)
              (set $budget (i32.sub $budget 1))
              (set $17 @1009)
              (br $B1)))
          (set $rsp $15)
          (set $20 $13)
          (set $budget (i32.sub $budget 1))
          (br $B0)
          (unreachable))
        (i64.store $cpu.flagResult $flagResult)
        (i64.store $cpu.flagCarry $flagCarry)
        (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
        (i32.store $cpu.budget $budget)
        (return_call $faultAt $cpu $17))
      (i64.store $cpu.rsp $rsp)
      (i64.store $cpu.flagResult $flagResult)
      (i64.store $cpu.flagCarry $flagCarry)
      (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
      (return_call $enterFrom $cpu $20 $budget))
    (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
    (return_call $enterFrom $cpu $20 $budget))
  (i64.store $cpu.rsp $rsp)
  (i64.store $cpu.flagResult $flagResult)
  (i64.store $cpu.flagCarry $flagCarry)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
  (i32.store $cpu.budget $budget)
  (return_call $faultAt $cpu $17))
(i64.store $cpu.rsp $rsp)
(i64.store $cpu.flagResult $flagResult)
(i64.store $cpu.flagCarry $flagCarry)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
(if (i64.eq $20 (i64.load $cpu.expected))
  (then
    (i64.store $cpu.expected -9223372036854775807)
    (i32.store $cpu.budget $budget)
    (return)))
(return_call $enterFrom $cpu $20 $budget)
(unreachable)
