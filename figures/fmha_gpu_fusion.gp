# What fusing attention pays on the GPU, over the length, in two panels. (a) The time of three kernels through memory over
# the time of one, medians and quartiles of trials one after the other, on a log axis. (b) The bytes that three kernels
# move over those of one, counted. Columns: series (mma_sync, packed, bytes), length, ratio, q1, q3. Variables: shape,
# machine and measured (three lines of text: at what, on what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,900 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1800 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,8.2in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
key_font = sized(0.9)
title_font = sized(0.95)
block(name) = (found = 0, sum [i=1:series] (word(series_names, i) eq name ? (found = i) : 0), found)
label(i) = word(series_names, i)
is_bytes(name) = name eq 'bytes'
pretty(name) = name eq 'mma_sync' ? 'one kernel, the same instructions' : 'one kernel, the top of the ladder'
in_a(c) = is_bytes(strcol(col_series)) ? 1 : column(c)
in_b(c) = is_bytes(strcol(col_series)) ? column(c) : 1
stats data using (column(col_length)) nooutput name 'x'
stats data using (in_a(col_q1)) nooutput name 'a_low'
stats data using (in_a(col_q3)) nooutput name 'a_high'
stats data using (in_b(col_ratio)) nooutput name 'b'

set multiplot
set label 1 'What fusing attention pays on a GPU' at screen 0.5,0.973 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.942 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.912 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 4 shape at screen 0.5,0.882 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set logscale x 2
set xrange [x_min / 1.15 : x_max * 1.15]
set xtics 1,2 format '%.0f'
set xlabel 'length T (queries and keys)' offset 0,0.4
set lmargin at screen 0.16
set rmargin at screen 0.945
set title offset 0,-0.6 font title_font
set key vertical maxrows 2 Left reverse samplen 1.7 spacing 1.05 width 0 font key_font

set tmargin at screen 0.825
set bmargin at screen 0.555
set key at screen 0.56,0.475 center top
set title '(a) time: three kernels over one'
# A ylabel may lie outside of the picture: its place is guessed from the widest number on the axis.
set label 5 'ratio of times' at screen 0.035,graph 0.5 center rotate noenhanced front
set logscale y 2
set yrange [a_low_min / 1.15 : a_high_max * 1.15]
set ytics (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)
plot 1 with lines linestyle 20 notitle, \
     for [i=1:series] data index (i-1) using (column(col_length)):(is_bytes(label(i)) ? NaN : column(col_ratio)) \
         :(column(col_q1)):(column(col_q3)) with yerrorbars linestyle i notitle, \
     for [i=1:series] data index (i-1) using (column(col_length)):(is_bytes(label(i)) ? NaN : column(col_ratio)) \
         with linespoints linestyle i title (is_bytes(label(i)) ? '' : pretty(label(i)))
unset label

set tmargin at screen 0.36
set bmargin at screen 0.1
set title '(b) bytes: three kernels over one, counted'
set label 5 'ratio of bytes' at screen 0.035,graph 0.5 center rotate noenhanced front
set yrange [1 / 1.15 : b_max * 1.3]
set ytics 1,4 format '%.0f'
unset key
plot 1 with lines linestyle 20 notitle, \
     data index (block('bytes') - 1) using (column(col_length)):(column(col_ratio)) with linespoints linestyle 3 notitle
unset multiplot
