/* All threads or one? For steps that repeat and take less than a millisecond, which is faster depends on how far apart
 * the cores are, which on a virtual machine changes from minute to minute. So both are timed: now and then a few
 * steps are done the other way and compared with those just before. Medians decide, of steps and of comparisons, so
 * what the system interrupts changes nothing; and trials together cost a hundredth of the time. A function of the times
 * it is given, apart from the clock and the threads, so that it can be tested with invented times. */
#ifndef DN_PACE_H
#define DN_PACE_H

enum { DN_PACE_RECENT = 5, DN_PACE_STEPS = 3, DN_PACE_TRIALS = 5 };

/* Zero: all threads, nothing known. */
typedef struct dn_pace {
    int single, trying; /* the next step: with one thread, or with all; it belongs to a trial */
    int steps;          /* since the last change; the first one is not timed because it moves data between cores */
    int n_trials;
    double recent[DN_PACE_RECENT]; /* seconds of the last steps, in a ring */
    double trials[DN_PACE_TRIALS]; /* steps the other way / steps as decided, in a ring */
    double usual, wait;            /* seconds of a step before the trial; until the next trial */
} dn_pace;

/* A step took so many seconds, done as `single` says; then `single` says how the next one shall be done. disturbed:
 * the step was not done as decided, or was held up by the system; its time says nothing. */
void dn_pace_step(dn_pace *pace, double seconds, int disturbed);
#endif
