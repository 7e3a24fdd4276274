"""Runs the asr service: `python -m services.asr`; `--help` prints the settings."""

from __future__ import annotations

from parley.asr.v1 import asr_pb2, asr_pb2_grpc
from parley.openai.v1 import openai_pb2, openai_pb2_grpc
from services.asr.engine import VAD, TritonEngine
from services.asr.openai import AudioServicer
from services.asr.recognise import Recogniser
from services.asr.servicer import SpeechServicer
from services.asr.settings import AsrSettings
from services.mesh import server
from services.mesh.server import Bound
from services.mesh.settings import load
from services.mesh.triton import Triton


def compose(settings: AsrSettings, triton: Triton) -> list[Bound]:
    """The servicers with their parts."""
    recogniser = Recogniser(
        TritonEngine(triton), settings.default_model, settings.max_audio_seconds, settings.segments_in_flight
    )
    return [
        Bound(
            asr_pb2_grpc.add_SpeechRecognitionServicer_to_server,
            SpeechServicer(recogniser),
            asr_pb2.DESCRIPTOR.services_by_name["SpeechRecognition"],
        ),
        Bound(
            openai_pb2_grpc.add_AudioServiceServicer_to_server,
            AudioServicer(recogniser),
            openai_pb2.DESCRIPTOR.services_by_name["AudioService"],
        ),
    ]


async def main() -> None:
    """Serves until it is told to stop; ready once Triton has the models."""
    settings = load(AsrSettings)
    triton = Triton(settings.triton_target)
    await server.serve(
        settings,
        compose(settings, triton),
        dependencies={"triton": lambda: triton.check([VAD, settings.default_model])},
        on_stop=[triton.close],
    )


if __name__ == "__main__":
    server.run(main())
