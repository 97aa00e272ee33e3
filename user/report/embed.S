/* SPDX-License-Identifier: GPL-2.0-only */
/* embed.S - the files of this directory as strings in the program; embed.h declares them. */
	.section .rodata

	.macro embed name, file
	.global \name
\name:
	.incbin "\file"
	.byte 0
	.endm

	embed report_page, "page.html"
	embed report_style, "report.css"
	embed report_script, "report.js"
	embed timeline_style, "timeline.css"
	embed topology_style, "topology.css"

	.section .note.GNU-stack, "", %progbits
