;; block 1000
;;   1000: mov al,cl
;;   1002: mov ah,dl
;;   1004: mov bx,ax
;;   1007: mov eax,esi
;;   1009: hlt
(set $rax (i64.load $cpu.rax))
(set $rcx (i64.load $cpu.rcx))
(set $rdx (i64.load $cpu.rdx))
(set $rbx (i64.load $cpu.rbx))
(set $rsi (i64.load $cpu.rsi))
(set $budget (i32.add (i32.load $cpu.budget) 1))
(set $11 $budget)
(set $tlb (i32.load $cpu.tlb))
(set $ripBase (i64.load $cpu.ripBase))
(set $codeGeneration (i32.load $cpu.codeGeneration))
;; 1000: mov al,cl
(set $12 (i64.and $rcx 255))
(set $rax (i64.or (i64.and $rax -256) (i64.and $12 255)))
;; 1002: mov ah,dl
(set $12 (i64.and $rdx 255))
(set $rax (i64.or (i64.and $rax -65281) (i64.shl (i64.and $12 255) 8)))
;; 1004: mov bx,ax
(set $12 (i64.and $rax 65535))
(set $rbx (i64.or (i64.and $rbx -65536) (i64.and $12 65535)))
;; 1007: mov eax,esi
(set $12 (i64.and $rsi 4294967295))
(set $rax (i64.and $12 4294967295))
(set $budget (i32.sub $budget 4))
(i64.store $cpu.rax $rax)
(i64.store $cpu.rbx $rbx)
(i32.store $cpu.compiled (i32.add (i32.load $cpu.compiled) (i32.sub $11 $budget)))
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
