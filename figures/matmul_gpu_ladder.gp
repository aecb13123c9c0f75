# The GPU's MatMul ladder: each step's speed as a ratio to the peer's, over the matrix size; both axes logarithmic.
# Columns: step, size, ratio, q1, q3 (quartiles of the ratio). Variables: peer (its name); machine and measured (two
# lines of text: on what, and how).
join_words(text) = (at = strstrt(text, '_')) ? join_words(text[1:at-1] . ' ' . text[at+1:*]) : text
# More steps than the palette has colours: they come round again with dashed lines.
do for [i=9:16] { set style line i linecolor rgb spak_colour[i-8] linewidth 1.6 dashtype 2 pointtype spak_point[i-8] pointsize 0.75 }

stats data using (column(col_size)) nooutput name 'x'
set title sprintf("MatMul on %s against %s\n%s", machine, peer, measured) noenhanced font sprintf(",%d", kind eq 'png' ? 22 : kind eq 'svg' ? 13 : 11)
set key maxrows 13
set logscale x 2
set logscale y 10
set xrange [x_min / 1.15 : x_max * 1.15]
set xtics 1,2 format '%.0f'
set xlabel 'matrix size N (N × N times N × N)'
set ylabel sprintf('ratio to %s', peer)
set format y '%g'
plot 1 with lines linestyle 20 title peer, \
     for [i=1:series] data index (i-1) using (column(col_size)):(column(col_ratio)):(column(col_q1)):(column(col_q3)) \
         with yerrorbars linestyle i notitle, \
     for [i=1:series] data index (i-1) using (column(col_size)):(column(col_ratio)) \
         with linespoints linestyle i title join_words(word(series_names, i))
