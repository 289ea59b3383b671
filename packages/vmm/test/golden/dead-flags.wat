;; block 1000
;;   1000: add rax,rcx
;;   1003: sub rax,rdx
;;   1006: xor rax,rbx
;;   1009: hlt
(set $rax (i64.load $cpu.rax))
(set $rcx (i64.load $cpu.rcx))
(set $rdx (i64.load $cpu.rdx))
(set $rbx (i64.load $cpu.rbx))
(set $flagResult (i64.load $cpu.flagResult))
(set $flagCarry (i64.load $cpu.flagCarry))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $12 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
;; 1000: add rax,rcx
(set $13 $rcx)
(set $14 $13)
(set $15 $rax)
(set $16 (i64.add $15 $14))
(set $rax $16)
;; 1003: sub rax,rdx
(set $13 $rdx)
(set $17 $13)
(set $18 $rax)
(set $19 (i64.sub $18 $17))
(set $rax $19)
;; 1006: xor rax,rbx
(set $16 $rbx)
(set $15 $16)
(set $14 $rax)
(set $13 (i64.xor $14 $15))
(set $rax $13)
0
(set $flagResult $13)
(set $flagCarry)
(set $budget (i32.sub $budget 3))
(i64.store $cpu.rax $rax)
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
(unreachable)
(unreachable)
