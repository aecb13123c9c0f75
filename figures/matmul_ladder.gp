# The MatMul ladder: each step's speed as a ratio to the peer's, over the matrix size, in two panels. (a) The whole
# ladder on one thread, on a log axis. (b) Its top beside the peer, on a linear axis, with the step on threads, which is
# measured beside a peer on as many. Columns: step, size, ratio, q1, q3 (quartiles of the ratio). Variables: peer (its
# name); machine and measured (two lines of text: on what, and how); threads_title (the step on threads in the legend).

# Portrait and in large type, so that it can still be read at the width of a phone.
if (kind eq 'svg') {
    points = 21; rows = 0.85; dot = 0.5 # this terminal draws wide rows and large points
    set terminal svg size 640,1010 dynamic enhanced font 'Helvetica,Arial,sans-serif,21' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32; rows = 1.15; dot = 0.75
    set terminal pngcairo size 1280,2020 enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 18; rows = 1.15; dot = 0.75
    set terminal pdfcairo size 6in,8in enhanced font 'sans,18' linewidth 1.4 background '#ffffff'
}
set output out
large  = sprintf(',%.1f', 1.1 * points)
medium = sprintf(',%.1f', 0.95 * points)
small  = sprintf(',%.1f', 0.85 * points)

# 'loop_order' reads 'loop order'
join_words(text) = (at = strstrt(text, '_')) ? join_words(text[1:at-1] . ' ' . text[at+1:*]) : text
label(i) = word(series_names, i)
pretty(i) = label(i) eq 'threads' ? threads_title : join_words(label(i))
on_one(step) = step ne 'threads'
at_top(step) = step eq 'register_tile' || step eq 'tuned' || step eq 'threads'
has_top = 0
do for [i=1:series] { has_top = has_top || at_top(label(i)) }

# A column's smallest and largest number in a panel; a step that is not in it counts as the peer's line, which is.
in_a(c) = on_one(strcol(col_step)) ? column(c) : 1
in_b(c) = at_top(strcol(col_step)) ? column(c) : 1
stats data using (column(col_size)) nooutput name 'x'
stats data using (in_a(col_q1)) nooutput name 'a_low'
stats data using (in_a(col_q3)) nooutput name 'a_high'
stats data using (in_b(col_q1)) nooutput name 'b_low'
stats data using (in_b(col_q3)) nooutput name 'b_high'
stats data using (in_b(col_ratio)) nooutput name 'median'

set multiplot
set label 1 sprintf('MatMul, each step against %s', peer) at screen 0.5,0.975 center noenhanced font large front
set label 2 machine at screen 0.5,0.942 center noenhanced font small textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.914 center noenhanced font small textcolor rgb '#333333' front

set logscale x 2
set xrange [x_min / 1.15 : x_max * 1.15]
set xtics x_min,2 format '%.0f' # the sizes double
set ylabel sprintf('speed, ratio to %s', peer) offset 0.8,0 font small
set lmargin at screen 0.165
set rmargin at screen 0.965
set key horizontal Left reverse samplen 1.7 spacing rows width 0 font medium maxrows 4
set title offset 0,-0.5 font medium

# (a) from the decade below the slowest, a label at every decade and at its half and fifth
set tmargin at screen 0.85
set bmargin at screen has_top ? 0.595 : 0.25
set key at screen 0.56, screen (has_top ? 0.55 : 0.15) center top
if (!has_top) { set xlabel 'matrix size N (N × N times N × N)' }
set title '(a) the whole ladder, on one thread'
bottom = floor(log10(a_low_min))
set logscale y 10
set yrange [10**bottom : (a_high_max > 1 ? a_high_max : 1) * 1.25] # the peer is in it
set format y '%g'
set ytics 10
do for [d=bottom:0] { set ytics add (sprintf('%g', 2 * 10.0**d) 2 * 10.0**d, sprintf('%g', 5 * 10.0**d) 5 * 10.0**d) }
plot 1 with lines linestyle 20 title peer, \
     for [i=1:series] data index (i-1) using (column(col_size)):(on_one(label(i)) ? column(col_ratio) : NaN) \
         :(column(col_q1)):(column(col_q3)) with yerrorbars linestyle i pointsize dot notitle, \
     for [i=1:series] data index (i-1) using (column(col_size)):(on_one(label(i)) ? column(col_ratio) : NaN) \
         with linespoints linestyle i pointsize dot title (on_one(label(i)) ? pretty(i) : '')
unset label

# (b) every median, and the quartiles as far as `room` from the medians; a longer bar runs out of the frame
room = 0.05
if (has_top) {
    low = b_low_min > median_min - room ? b_low_min : median_min - room
    high = b_high_max < median_max + room ? b_high_max : median_max + room
    set tmargin at screen 0.395
    set bmargin at screen 0.175
    set key at screen 0.56, screen 0.088 center top vertical
    set xlabel 'matrix size N (N × N times N × N)' offset 0,(kind eq 'svg' ? 0.8 : 0.3)
    set title '(b) its top, on a linear axis' . (low > b_low_min || high < b_high_max ? ' (long bars cut)' : '')
    unset logscale y
    unset ytics
    set ytics autofreq nomirror out scale 0.6 textcolor rgb '#333333'
    set format y '%.2f'
    pad = 0.08 * (high - low) + 0.005
    set yrange [low - pad : high + pad]
    # side by side where the sizes would hide each other's bars
    beside(i) = 1.05 ** (label(i) eq 'register_tile' ? -1 : label(i) eq 'threads' ? 1 : 0)
    plot 1 with lines linestyle 20 notitle, \
         for [i=1:series] data index (i-1) using (column(col_size) * beside(i)) \
             :(at_top(label(i)) ? column(col_ratio) : NaN):(column(col_q1)):(column(col_q3)) \
             with yerrorbars linestyle i pointsize dot notitle, \
         for [i=1:series] data index (i-1) using (column(col_size) * beside(i)) \
             :(at_top(label(i)) ? column(col_ratio) : NaN) \
             with linespoints linestyle i pointsize dot title (at_top(label(i)) ? pretty(i) : '')
}
unset multiplot
