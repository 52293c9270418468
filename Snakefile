"""methodbench: data, checkpoints, scores, runs in MLflow, reports. `snakemake --cores all` makes everything.

One rule a verb. What there is to make stands in config/SCALE/STUDY.yaml; how it is made, in methods/ and benchmarks/.
"""

import sys

from snakemake.logging import logger

from methodbench import warm
from methodbench.workflow import Workflow, farewell


configfile: f"{workflow.basedir}/config/config.yaml"


# Used on clusters only: one environment for all rules.
container: "docker://python:3.11-slim"


# What `snakemake --report` opens with.
report: "docs/report.rst"


flow = Workflow(workflow.basedir, config)
verb = f"{sys.executable} -m methodbench"
place = f"--root {workflow.basedir}"


wildcard_constraints:
    scale="smoke|mini|paper",
    study="[a-z][a-z0-9_]*",
    build="unseeded|seed[0-9]+",
    seed="[0-9]+",


localrules:
    all,
    index,


rule all:
    input:
        flow.everything(),
        # For `snakemake --report`; inputs here, for what a study could not draw is no output that a rule can promise.
        [
            report(one.path, category=one.category, labels={"shows": one.label})
            for one in flow.shown()
        ],


rule prepare:
    output:
        directory("results/{scale}/{study}/datasets/{dataset}"),
    log:
        "results/{scale}/{study}/logs/prepare-{dataset}.log",
    priority: flow.priority
    params:
        identity=flow.dataset_identity,
    shell:
        f"{verb} prepare {place} --scale {{wildcards.scale}} --study {{wildcards.study}} "
        "--dataset {wildcards.dataset} --threads {threads} --log {log}"


rule transform:
    input:
        flow.checkpoint_inputs,
    output:
        directory("results/{scale}/{study}/{build}/checkpoints/{checkpoint}"),
    log:
        "results/{scale}/{study}/logs/transform-{checkpoint}-{build}.log",
    priority: flow.priority
    threads: flow.threads
    resources:
        gpu=flow.gpu,
        mem_mb=flow.mem_mb,
    params:
        identity=flow.checkpoint_identity,
    shell:
        f"{verb} transform {place} --scale {{wildcards.scale}} --study {{wildcards.study}} --build {{wildcards.build}} "
        "--checkpoint {wildcards.checkpoint} --threads {threads} --gpu {resources.gpu} --log {log}"


rule evaluate:
    input:
        flow.score_inputs,
    output:
        "results/{scale}/{study}/seed{seed}/scores/{checkpoint}/{job}.json",
    log:
        "results/{scale}/{study}/logs/evaluate-{checkpoint}-seed{seed}-{job}.log",
    priority: flow.priority
    resources:
        gpu=flow.score_gpu,
    params:
        identity=flow.score_identity,
    shell:
        f"{verb} evaluate {place} --scale {{wildcards.scale}} --study {{wildcards.study}} --seed {{wildcards.seed}} "
        "--checkpoint {wildcards.checkpoint} --job {wildcards.job} --threads {threads} --gpu {resources.gpu} --log {log}"


rule track:
    input:
        flow.results_of,
    output:
        "results/{scale}/{study}/tracked.json",
    log:
        "results/{scale}/{study}/logs/track.log",
    priority: flow.priority
    params:
        identity=flow.study_identity,
    shell:
        f"{verb} track {place} --scale {{wildcards.scale}} --study {{wildcards.study}} --log {{log}}"


rule report:
    input:
        "results/{scale}/{study}/tracked.json",
    output:
        "reports/{scale}/{study}.md",
    log:
        "results/{scale}/{study}/logs/report.log",
    priority: flow.priority
    params:
        identity=flow.study_identity,
    shell:
        f"{verb} report {place} --scale {{wildcards.scale}} --study {{wildcards.study}} --log {{log}}"


rule index:
    input:
        flow.reports,
    output:
        "reports/{scale}/index.md",
    log:
        "results/{scale}/logs/index.log",
    shell:
        f"{verb} index {place} --scale {{wildcards.scale}} --log {{log}}"


onstart:
    # Here, for it is not needed to see that there is nothing to do.
    from methodbench import whole_run

    warm.start()
    if workflow.local_exec:
        # Its limit of starts a second wakes the scheduler every second, once for each job that has ended: after 250 jobs
        # that took an eighth of a core.
        workflow.scheduler.job_rate_limiter = None
        # It tells of jobs that end only if it would print it as well, which handlers filter out.
        workflow.scheduler.print_progress = True
        for handler in logger.handlers:
            handler.addFilter(whole_run.worth_a_line)
        started = {
            job.jobid: (job.output, job.resources.get("gpu", 0))
            for job in workflow.dag.needrun_jobs()
        }
        gpus = workflow.global_resources.get("gpu")
        logger.addHandler(
            whole_run.watch(
                flow, started, workflow.cores, gpus.value if gpus else None
            )
        )


onsuccess:
    print(farewell(flow.graph.scale))
