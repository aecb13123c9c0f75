# The GPU's MatMul ladder: each step's speed as a ratio to the peer's, over the matrix size, in two panels. (a) The
# whole ladder, on a log axis. (b) The steps on Hopper's own units beside the peer, on a linear axis. Columns: step,
# size, ratio, q1, q3 (quartiles of the ratio). Variables: peer (its name); machine and measured (two lines of text: on
# what, and how).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,1000 dynamic enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,2000 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,9in enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
tick_font = sized(0.85)
title_font = sized(0.95)
key_font = sized(0.82)

# 'two_consumers' reads 'two consumers'
join_words(text) = (at = strstrt(text, '_')) ? join_words(text[1:at-1] . ' ' . text[at+1:*]) : text
label(i) = word(series_names, i)
pretty(i) = join_words(label(i))

# Steps on the vector units are grey and dashed, the first with a ring that the second fits into; those on the matrix units have the palette's eight colours.
vector = ' naive coalesced shared_tile register_tile '
matrix = ' mma_sync tma specialised two_consumers persistent cluster async_store best '
in_list(name, list) = strstrt(list, ' ' . name . ' ')
place(name, list) = words(list[1:in_list(name, list)]) + 1
style_of(name) = in_list(name, vector) ? 10 + place(name, vector) : place(name, matrix)
do for [i=1:4] { set style line 10+i linecolor rgb '#777777' linewidth 1.2 dashtype 2 pointtype int(word('6 5 9 11', i)) pointsize (i == 1 ? 1.2 : 0.7) }
at_top(name) = in_list(name, matrix) && name ne 'mma_sync'
has_top = 0
do for [i=1:series] { has_top = has_top || at_top(label(i)) }

in_b(c) = at_top(strcol(col_step)) ? column(c) : 1
stats data using (column(col_size)) nooutput name 'x'
stats data using (column(col_q1)) nooutput name 'a_low'
stats data using (column(col_q3)) nooutput name 'a_high'
stats data using (in_b(col_q1)) nooutput name 'b_low'
stats data using (in_b(col_q3)) nooutput name 'b_high'

set tics font tick_font
set multiplot
set label 1 sprintf('MatMul, each step against %s', peer) at screen 0.5,0.973 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.941 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.913 center noenhanced font sized(0.82) textcolor rgb '#333333' front

set logscale x 2
set xrange [x_min / 1.15 : x_max * 1.15]
set xtics 1,2 format '%.0f'
set label 4 sprintf('ratio to %s', peer) at screen 0.035,has_top ? 0.727 : 0.55 center rotate by 90 noenhanced textcolor rgb '#222222' front
set lmargin at screen 0.19
set rmargin at screen 0.965
set title offset 0,-0.7 font title_font

# (a) from the decade below the slowest, a label at every decade and, where they are few, at its half and fifth
set tmargin at screen 0.855
set bmargin at screen has_top ? 0.6 : 0.25
set title '(a) the whole ladder'
bottom = floor(log10(a_low_min))
set logscale y 10
set yrange [10**bottom : a_high_max * 1.25]
set format y '%g'
set ytics 10
fifths = bottom > -4 ? bottom : 1
do for [d=fifths:0] { set ytics add (sprintf('%g', 2 * 10.0**d) 2 * 10.0**d, sprintf('%g', 5 * 10.0**d) 5 * 10.0**d) }
if (!has_top) { set xlabel 'matrix size N (N × N times N × N)' offset 0,0.4 }
set key at screen 0.535,0.135 center top vertical maxrows 5 Left reverse samplen 1.7 spacing 1.05 width 0 font key_font
plot 1 with lines linestyle 20 title peer, \
     for [i=1:series] data index (i-1) using (column(col_size)):(column(col_ratio)):(column(col_q1)):(column(col_q3)) \
         with yerrorbars linestyle style_of(label(i)) notitle, \
     for [i=1:series] data index (i-1) using (column(col_size)):(column(col_ratio)) \
         with linespoints linestyle style_of(label(i)) title pretty(i)
unset label

# (b)
if (has_top) {
    set tmargin at screen 0.52
    set bmargin at screen 0.21
    set label 4 sprintf('ratio to %s', peer) at screen 0.035,0.365 center rotate by 90 noenhanced textcolor rgb '#222222' front
    set title "(b) the steps on Hopper's own units (linear axis)"
    set xlabel 'matrix size N (N × N times N × N)' offset 0,0.4
    unset logscale y
    unset ytics
    set format y '%.1f'
    pad = 0.06 * (b_high_max - b_low_min) + 0.005
    set yrange [b_low_min - pad : b_high_max + pad]
    set ytics b_high_max - b_low_min > 0.5 ? 0.1 : 0.05 nomirror out scale 0.6 font tick_font
    if (b_high_max - b_low_min <= 0.5) { set format y '%.2f' }
    beside(i) = 1.02 ** (style_of(label(i)) - 5) # side by side where points would hide each other
    plot 1 with lines linestyle 20 notitle, \
         for [i=1:series] data index (i-1) using (column(col_size) * beside(i)) \
             :(at_top(label(i)) ? column(col_ratio) : NaN):(column(col_q1)):(column(col_q3)) \
             with yerrorbars linestyle style_of(label(i)) notitle, \
         for [i=1:series] data index (i-1) using (column(col_size) * beside(i)) \
             :(at_top(label(i)) ? column(col_ratio) : NaN) \
             with linespoints linestyle style_of(label(i)) notitle
}
unset multiplot
