# microGPT's loss, step by step, from engines that share a seed. (a) The whole run: the losses of single documents, one
# dot each, and over them each engine's mean over the last documents. (b) The last steps that all engines ran, one by one.
# All lie on each other; so the strokes are nested: the first series is the widest and lowest, the last the thinnest and
# on top, and where they agree each shows as a rim around the next. Columns: engine, step, loss, mean. Variables:
# window (documents in a mean), near_first and near_last (the steps of panel b), raw (the series whose single losses are
# drawn in panel a), machine and measured (two lines of text), titles (the legend, one for a series, cut by '|').

if (kind eq 'svg') {
    points = 16.5
    set terminal svg size 640,960 dynamic rounded enhanced font 'Helvetica,Arial,sans-serif,16.5' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    points = 32
    set terminal pngcairo size 1280,1920 rounded enhanced font 'sans,32' linewidth 3 pointscale 1.9 background '#ffffff'
}
if (kind eq 'pdf') {
    points = 14
    set terminal pdfcairo size 6in,8.6in rounded enhanced font 'sans,14' linewidth 1.4 background '#ffffff'
}
set output out
sized(share) = sprintf(',%.1f', share * points)
key_font = sized(0.9)
title_font = sized(0.95)

# The i-th of the texts between the bars.
part(text, i) = (at = strstrt(text, '|')) ? (i == 1 ? text[1:at-1] : part(text[at+1:*], i - 1)) : text
title_of(i) = part(titles, i)
nested(i) = i == series ? 1.1 : 1.1 + 2.3 * (series - i)
dot(i) = (kind eq 'svg' ? 0.55 : 1) * (i == series ? 0.45 : 0.45 + 0.75 * (series - i))

stats data using (column(col_step)) nooutput name 'x'
stats data using (column(col_loss)) nooutput name 'y'
near(c) = column(col_step) >= near_first && column(col_step) <= near_last ? column(c) : NaN
stats data using (near(col_loss)) nooutput name 'b'

set multiplot
set label 1 'microGPT: the loss of our engines' at screen 0.5,0.973 center noenhanced font sized(1.1) front
set label 2 machine at screen 0.5,0.938 center noenhanced font sized(0.82) textcolor rgb '#333333' front
set label 3 measured at screen 0.5,0.908 center noenhanced font sized(0.82) textcolor rgb '#333333' front

set xlabel 'training step (one document each)' offset 0,0.4
set ylabel 'loss' offset 0.6,0
set lmargin at screen 0.14
set rmargin at screen 0.95
set key vertical maxrows 4 Left reverse samplen 2.2 spacing 1.1 width 0 font key_font
set title offset 0,-0.5 font title_font
set format y '%.1f'

set tmargin at screen 0.855
set bmargin at screen 0.555
set key at screen 0.55,0.475 center top
set title sprintf('(a) means over the last %d documents', window)
set xrange [0 : x_max * 1.01]
set yrange [floor(y_min * 5) / 5.0 - 0.05 : ceil(y_max * 5) / 5.0]
set ytics 0.5
plot data index (raw-1) using (column(col_step)):(column(col_loss)) with points pointtype 7 pointsize 0.16 \
         linecolor rgb '#c4c4c4' notitle, \
     NaN with points pointtype 7 pointsize 0.5 linecolor rgb '#909090' title 'single documents', \
     for [i=1:series] data index (i-1) using (column(col_step)):(column(col_mean)) with lines \
         linecolor rgb spak_colour[i] linewidth nested(i) title title_of(i)
unset label

set tmargin at screen 0.315
set bmargin at screen 0.085
unset key
set title sprintf('(b) single documents, steps %d to %d', near_first, near_last)
set xrange [near_first - 0.5 : near_last + 0.5]
set yrange [floor(b_min * 5) / 5.0 - 0.1 : ceil(b_max * 5) / 5.0 + 0.1]
plot for [i=1:series] data index (i-1) using (column(col_step)):(near(col_loss)) with lines \
         linecolor rgb spak_colour[i] linewidth 0.6 * nested(i) notitle, \
     for [i=1:series] data index (i-1) using (column(col_step)):(near(col_loss)) with points \
         pointtype 7 pointsize dot(i) linecolor rgb spak_colour[i] notitle
unset multiplot
