# nanoGPT's loss: of every batch as dots, the mean over those around, and over the whole validation part. Columns: series
# (batch, mean, validation), step, loss. Variables: window (batches in a mean), start (the logarithm of the vocabulary),
# machine and measured (two lines of text).

if (kind eq 'svg') {
    set terminal svg size 720,520 dynamic rounded enhanced font 'Helvetica,Arial,sans-serif,16' linewidth 1.5 background '#ffffff'
}
if (kind eq 'png') {
    set terminal pngcairo size 1520,1060 rounded enhanced font 'sans,27' linewidth 2.8 pointscale 1.7 background '#ffffff'
}
if (kind eq 'pdf') {
    set terminal pdfcairo size 7.6in,5.1in rounded enhanced font 'sans,13' linewidth 1.4 background '#ffffff'
}
set output out
small = ',' . (kind eq 'svg' ? '13' : kind eq 'png' ? '22' : '10.5')

stats data using (column(col_step)) nooutput name 'x'
stats data using (column(col_loss)) nooutput name 'y'
is(i, what) = word(series_names, i) eq what

set title sprintf("nanoGPT: the loss in training and in validation\n{/*0.8 %s}\n{/*0.8 %s}", machine, measured)
set xlabel 'training steps' offset 0,0.2
set ylabel 'loss (nats a character)' offset 0.5,0
set xrange [0 : x_max * 1.01]
set yrange [floor(y_min * 5) / 5.0 : ceil((y_max > start ? y_max : start) * 5) / 5.0]
set format y '%.1f'
set rmargin 4
set bmargin at screen 0.24
set key at screen 0.53,0.1 center top vertical maxrows 2 Left reverse samplen 2.2 spacing 1.15 width 0 font small
plot start with lines linestyle 20 title 'log of the vocabulary', \
     for [i=1:series] data index (i-1) using (column(col_step)):(is(i, 'batch') ? column(col_loss) : NaN) \
         with points pointtype 7 pointsize 0.18 linecolor rgb '#a8a8a8' notitle, \
     NaN with points pointtype 7 pointsize 0.8 linecolor rgb '#a8a8a8' title 'single batches', \
     for [i=1:series] data index (i-1) using (column(col_step)):(is(i, 'mean') ? column(col_loss) : NaN) with lines \
         linecolor rgb spak_colour[1] linewidth 2.2 title is(i, 'mean') ? sprintf('mean of the %d around', window) : '', \
     for [i=1:series] data index (i-1) using (column(col_step)):(is(i, 'validation') ? column(col_loss) : NaN) \
         with points linecolor rgb spak_colour[5] pointtype 5 pointsize 1.1 \
         title is(i, 'validation') ? 'validation' : ''
