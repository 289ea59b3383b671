;; block 1000
;;   1000: mov rax,QWORD PTR [rip+0x100]        # 0x1107
;;   1007: lea rbx,[rip+0xffffffffffffffe0]        # 0xfee
;;   100e: hlt
(set $rax (i64.load $cpu.rax))
(set $rbx (i64.load $cpu.rbx))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $8 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
(block $B0
  ;; 1000: mov rax,QWORD PTR [rip+0x100]        # 0x1107
  (set $9 (i64.add $ripBase 263))
  (set $10 (i32.add $tlb (i32.and (i32.wrap_i64 (i64.shr_u $9 7)) 32736)))
  (if (i64.eq (i64.load $10) (i64.and (i64.add $9 7) -4096))
    (then
      (set $11 (i64.load (i32.add (i32.wrap_i64 $9) (i32.load offset=16 $10)))))
    (else
      (set $11 (call $load64 $cpu $9))
      (if (i32.ne (i32.load $cpu.faultVector) -1)
        (then
          (set $budget (i32.sub $budget 1))
          (set $12 @1000)
          (br $B0)))))
  (set $rax $11)
  ;; 1007: lea rbx,[rip+0xffffffffffffffe0]        # 0xfee
  (set $11 (i64.add $ripBase -18))
  (set $rbx $11)
  (set $budget (i32.sub $budget 2))
  (i64.store $cpu.rax $rax)
  (i64.store $cpu.rbx $rbx)
  (i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $8 $budget)))
  (i32.store $cpu.budget (i32.sub $budget 1))
  (if (i32.load $cpu.cpl)
    (then
      (i32.store $cpu.faultVector 13)
      (i32.store $cpu.faultHasCode 1)
      (i32.store $cpu.faultCode 0)
      (return_call $faultAt $cpu @100e)))
  ;; 100e: hlt
  (i64.store $cpu.rip
    (i64.add
      (i64.add (i64.load $cpu.ripBase) (i64.extend_i32_u (i32.load16_u offset=4 @100e)))
      (i64.load8_u offset=6 @100e)))
  (i32.store $cpu.exit 2)
  (return)
  (unreachable))
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $8 $budget)))
(i32.store $cpu.budget $budget)
(return_call $faultAt $cpu $12)
(unreachable)
