# A repeated string is a loop over what one page allows, or a call; it may stop in the middle.
        rep movsq
        hlt
