# The MatMul ladder: each step's speed as a ratio to the peer's, over the matrix size.
# Columns: step, size, ratio, q1, q3 (quartiles of the ratio). Variables: peer (its name), subtitle (machine, threads).
set title sprintf('MatMul, each step against %s', peer) . (exists('subtitle') ? "\n{/*0.8 " . subtitle . '}' : '')
set xlabel 'matrix size N (N × N times N × N)'
set ylabel sprintf('speed, ratio to %s', peer)
set logscale x 2
set logscale y 10
set format y '%g'
set xtics format '%.0f'

# x ticks at the sizes that were measured, and a little room on both sides
stats data using (column(col_size)) nooutput name 'x'
set xrange [x_min / 1.15 : x_max * 1.15]
# and a little room below the slowest and above the peer
stats data using (column(col_q1)) nooutput name 'low'
stats data using (column(col_q3)) nooutput name 'high'
set yrange [low_min / 1.7 : (high_max > 1 ? high_max : 1) * 1.5]
set ytics add ('0.5' 0.5, '0.2' 0.2)

label(i) = word(series_names, i)
pretty(text) = join_words(text)
# 'loop_order' reads 'loop order'
join_words(text) = (at = strstrt(text, '_')) ? join_words(text[1:at-1] . ' ' . text[at+1:*]) : text

plot 1 with lines linestyle 20 title peer, \
     for [i=1:series] data index (i-1) using (column(col_size)):(column(col_ratio)):(column(col_q1)):(column(col_q3)) \
         with yerrorbars linestyle i notitle, \
     for [i=1:series] data index (i-1) using (column(col_size)):(column(col_ratio)) \
         with linespoints linestyle i title pretty(label(i))
