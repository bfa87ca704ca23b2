"""Executes a state machine in moto's interpreter: a line of JSON for each execution in, a line of JSON for its end out.

The first line is the definition. The tasks go over HTTP to the port that MOTO_PORT names: Lambda's API and S3's. Two
things that AWS does and moto does not, or otherwise, are mended here, in tolerate_failures and write_results.
"""

import json
import logging
import sys
import time
import types

from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.result_writer_decl import ResultWriter
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/states"
# Less than a test has.
TIME_LIMIT_SECONDS = 15
# A hundredth of the time that the definition says is enough for what answers from memory.
WAIT_SCALE = 0.01

waits = []
run_items = DistributedIterationComponent._map_run


def wait_less(seconds):
    waits.append(seconds)
    time.sleep(seconds * WAIT_SCALE)


def tolerate_failures(component, env, eval_input):
    """Fails the Map for more failures than it tolerates. moto evaluates the threshold, and tolerates all of them."""
    run_items(component, env, eval_input)
    counts = eval_input.map_run_record.execution_counter.describe()
    if 100 * counts["failed"] <= eval_input.tolerated_failure_percentage * counts["total"]:
        return
    error = StatesErrorName(typ=StatesErrorNameType.StatesExceedToleratedFailureThreshold)
    details = {"error": error.error_name, "cause": f"{counts['failed']} of {counts['total']} items failed"}
    raise FailureEventException(
        FailureEvent(
            env=env,
            error_name=error,
            event_type=HistoryEventType.MapRunFailed,
            event_details=EventDetails(mapRunFailedEventDetails=details),
        )
    )


def write_results(writer, env):
    """Does what moto does, with the writer's paths in the state's input; moto looks for them in the results."""
    env.stack.append(env.states.get_input())
    writer.parargs.eval(env=env)
    parameters = env.stack.pop()
    env.stack.pop()
    env.stack.append(parameters)
    writer.resource_eval.eval_resource(env=env)


def execute(backend, arn, name, event):
    waits.clear()
    execution = backend.start_execution(arn, name=name, execution_input=json.dumps(event))
    end = time.monotonic() + TIME_LIMIT_SECONDS
    while execution.exec_status == ExecutionStatus.RUNNING and time.monotonic() < end:
        time.sleep(0.01)
    history = execution.to_history_output()["events"]
    entered = [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]
    return {
        "status": execution.exec_status,
        "output": execution.output,
        "error": execution.error,
        "cause": execution.cause,
        "states": entered,
        "mapFailed": any(event["type"] == HistoryEventType.MapStateFailed for event in history),
        "waits": list(waits),
    }


def main():
    # The retriers take the module's sleep for their own.
    retrier_decl.time = types.SimpleNamespace(sleep=wait_less)
    DistributedIterationComponent._map_run = tolerate_failures
    ResultWriter._eval_body = write_results
    logging.disable(logging.CRITICAL)
    backend = stepfunctions_parser_backends[ACCOUNT]["us-east-1"]
    machine = backend.create_state_machine(name="scale", definition=sys.stdin.readline(), roleArn=ROLE)
    for line in sys.stdin:
        started = json.loads(line)
        print(json.dumps(execute(backend, machine.arn, started["name"], started["input"])), flush=True)


main()
